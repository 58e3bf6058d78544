"""The circuit as data: the one definition that engines, exports, drawings and counts read."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

GATES = {"ry": 1, "crz": 2}
"""Wires of each known gate. ry(t) = exp(-i t Y / 2); crz(t) = diag(1, 1, exp(-i t / 2), exp(i t / 2)) on (control,
target)."""


@dataclass(frozen=True)
class Gate:
    """One gate whose angle is an entry of the input or of the trained parameters.

    Args:
        name: A key of `GATES`.
        wires: The qubits it acts on, the control first. Qubit 0 is the most significant bit of the basis index.
        source: What feeds the angle: "input" (the token's data) or "parameter" (trained).
        index: Which entry of the source.
    """

    name: Literal["ry", "crz"]
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
            if GATES.get(gate.name) != len(gate.wires) or len(wires) != len(gate.wires):
                raise ValueError(f"{gate} is not a known gate on distinct wires; known gates and wires: {GATES}")
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

        Carried backwards through the gates, a measured Z stays diagonal on every wire that no RY touches. So a diagonal
        gate is dead where no RY follows it on any of its wires.
        """
        living_wires: set[int] = set()  # wires on which an RY follows
        dead = set()
        for gate in reversed(self.gates):
            if gate.name == "ry":
                living_wires.update(gate.wires)
            elif gate.source == "parameter" and not living_wires.intersection(gate.wires):
                dead.add(gate.index)
        return tuple(sorted(dead))
