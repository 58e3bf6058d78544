"""The circuit as data: the one definition that engines, exports, drawings and counts read."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from qweft.circuit.gates import GATES


@dataclass(frozen=True)
class Gate:
    """One gate whose angle is an entry of the input or of the trained parameters.

    Args:
        name: A key of `qweft.circuit.gates.GATES`.
        wires: The qubits it acts on, the control first. Qubit 0 is the most significant bit of the basis index.
        source: What feeds the angle: "input" (the token's data) or "parameter" (trained).
        index: Which entry of the source.
    """

    name: str
    wires: tuple[int, ...]
    source: Literal["input", "parameter"]
    index: int


@dataclass(frozen=True)
class Circuit:
    """Gates on qubits that start in |0...0>; the output is the expectation of Z on each qubit.

    Args:
        qubits: Number of qubits n; the output has n entries.
        inputs: Number of entries of a token's data.
        parameters: Number of trained angles.
        gates: In the order in which they act.

    Raises:
        ValueError: If a gate is unknown, or names a wire, input or parameter that does not exist.
    """

    qubits: int
    inputs: int
    parameters: int
    gates: tuple[Gate, ...]

    def __post_init__(self) -> None:
        for gate in self.gates:
            sources = self.inputs if gate.source == "input" else self.parameters
            wires = set(gate.wires)
            kind = GATES.get(gate.name)
            if kind is None or kind.wires != len(gate.wires) or len(wires) != len(gate.wires):
                known = {name: kind.wires for name, kind in GATES.items()}
                raise ValueError(f"{gate} is not a known gate on distinct wires; known gates and wires: {known}")
            if not wires <= set(range(self.qubits)) or not 0 <= gate.index < sources:
                raise ValueError(f"{gate} names a wire, input or parameter outside of {self.qubits} qubits, {sources}")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Kept: a circuit is looked up at every call, and has hundreds of gates."""
        return hash((self.qubits, self.inputs, self.parameters, self.gates))

    def __getstate__(self) -> dict[str, object]:  # another process hashes its strings differently
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}

    def dead_parameters(self) -> tuple[int, ...]:
        """Parameters whose gradient is zero for every input and every angle.

        Carried backwards through the gates, a measured Z stays diagonal on every wire that is no target of a gate that
        is not. So a diagonal gate is dead where none of its wires is such a target later on.
        """
        living_wires: set[int] = set()  # targets of later gates that are not diagonal
        dead = set()
        for gate in reversed(self.gates):
            kind = GATES[gate.name]
            if not kind.is_diagonal:
                living_wires.update(gate.wires[kind.controls :])
            elif gate.source == "parameter" and not living_wires.intersection(gate.wires):
                dead.add(gate.index)
        return tuple(sorted(dead))
