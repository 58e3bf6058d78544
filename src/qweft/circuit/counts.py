"""How large a circuit is: gates by kind, depth, and what is on two qubits."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qweft.circuit.description import Circuit


@dataclass(frozen=True)
class Counts:
    """The size of a circuit in some set of gates.

    Args:
        gates: Gates by name, the most frequent first.
        one_qubit: Gates on one qubit.
        two_qubit: Gates on two.
        depth: Steps that it takes where gates on different qubits act at the same time.
        two_qubit_depth: The same, where only gates on two qubits take time.
    """

    gates: dict[str, int]
    one_qubit: int
    two_qubit: int
    depth: int
    two_qubit_depth: int

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return asdict(self)


def counts(circuit: Circuit) -> Counts:
    """The size of the circuit as it is written."""
    return counts_of([(gate.name, gate.wires) for gate in circuit.gates])


def counts_of(gates: Sequence[tuple[str, Sequence[int]]]) -> Counts:
    """The size of gates given as (name, wires), in the order in which they act."""
    two = [wires for _, wires in gates if len(wires) == 2]
    return Counts(
        dict(Counter(name for name, _ in gates).most_common()),
        sum(len(wires) == 1 for _, wires in gates),
        len(two),
        _depth(wires for _, wires in gates),
        _depth(two),
    )


def _depth(steps: Iterable[Sequence[int]]) -> int:
    """The longest chain of steps that wait for each other."""
    reached: dict[int, int] = {}
    for wires in steps:
        time = 1 + max(reached.get(wire, 0) for wire in wires)
        reached.update(dict.fromkeys(wires, time))
    return max(reached.values(), default=0)
