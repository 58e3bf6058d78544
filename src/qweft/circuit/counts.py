"""How large a circuit is."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from qweft.circuit.description import Circuit


@dataclass(frozen=True)
class Counts:
    """Counts of a circuit's gates; measurements and barriers are none.

    Args:
        gates: All gates.
        two_qubit: Those on two qubits.
        depth: Gates on the longest chain of gates that must wait for each other.
        two_qubit_depth: The same, of gates on two qubits alone.
        by_name: How many of each.
    """

    gates: int
    two_qubit: int
    depth: int
    two_qubit_depth: int
    by_name: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """As a record."""
        return asdict(self)


def count(circuit: Circuit) -> Counts:
    """The counts of the circuit as it is written."""
    return count_gates((gate.name, gate.wires) for gate in circuit.gates)


def count_gates(gates: Iterable[tuple[str, tuple[int, ...]]]) -> Counts:
    """The counts of gates (name, wires), in the order in which they act."""
    found = list(gates)
    two = [gate for gate in found if len(gate[1]) > 1]
    names = Counter(name for name, _ in found)
    return Counts(len(found), len(two), _depth(found), _depth(two), dict(names.most_common()))


def _depth(gates: Iterable[tuple[str, tuple[int, ...]]]) -> int:
    reached: Counter[int] = Counter()
    for _, wires in gates:
        reached.update(dict.fromkeys(wires, 0))
        after = max(reached[wire] for wire in wires) + 1
        reached |= dict.fromkeys(wires, after)
    return max(reached.values(), default=0)
