"""Compilation of our gates to native gates: any one-qubit gate (U3), and CZ.

A controlled rotation takes two CZ gates and rotations of the target, for every angle t (the rightmost acts first):

    CRZ(t) = RZ(t/2) RY(pi/2) . CZ . RX(t/2) . CZ . RY(-pi/2)

because RY(pi/2) CZ RY(-pi/2) is CNOT, and CRZ(t) = RZ(t/2) CNOT RZ(-t/2) CNOT. Consecutive rotations of a qubit form
one U3. The result depends only on gates and wires, never on angles. Any two qubits can be coupled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from qweft.circuit.gates import GATES
from qweft.devices.bound import Gates


@dataclass(frozen=True)
class Turn:
    """A rotation exp(-i t P / 2) about an axis P, with t = constant + sum of factor times angle over the terms.

    Args:
        axis: Axis P.
        constant: In radians.
        terms: (gate, factor) for each angle: the index of its gate in the circuit, and its factor.
    """

    axis: Literal["x", "y", "z"]
    constant: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()

    def then(self, following: "Turn") -> "Turn":
        """Return this rotation and one about the same axis after it as one rotation."""
        return Turn(self.axis, following.constant + self.constant, self.terms + following.terms)


@dataclass(frozen=True)
class NativeGate:
    """A CZ, or a one-qubit gate with its rotations in the order in which they act."""

    wires: tuple[int, ...]
    turns: tuple[Turn, ...] = ()


class _Compiler:
    """Collects native gates. Rotations of a wire wait until a CZ or a barrier makes one gate of them."""

    def __init__(self) -> None:
        self.native: list[NativeGate] = []
        self.waiting: dict[int, list[Turn]] = {}

    def turn(self, wire: int, turn: Turn) -> None:
        """Let a rotation wait, as one with a rotation about the same axis right before it."""
        turns = self.waiting.setdefault(wire, [])
        if turns and turns[-1].axis == turn.axis:
            turn = turns.pop().then(turn)
        turns.append(turn)

    def cz(self, wires: tuple[int, ...]) -> None:
        """Add a CZ after the rotations that wait on its wires."""
        self.flush(wires)
        self.native.append(NativeGate(wires))

    def flush(self, wires: Iterable[int]) -> None:
        """Make a gate of the rotations that wait on each of the wires."""
        for wire in wires:
            if wire in self.waiting:
                self.native.append(NativeGate((wire,), tuple(self.waiting.pop(wire))))

    def flush_all(self) -> None:
        """Make a gate of all rotations that wait."""
        self.flush(sorted(self.waiting))


@lru_cache(maxsize=256)
def native_gates(gates: Gates, barriers: tuple[int, ...] = ()) -> tuple[NativeGate, ...]:
    """Return a circuit's native gates in the order of execution; nothing is merged across a barrier."""
    compiler = _Compiler()
    for index, (name, wires) in enumerate(gates):
        if index in barriers:
            compiler.flush_all()
        for step in GATES[name].native:
            step_wires = tuple(wires[position] for position in step.places)
            if step.name == "cz":
                compiler.cz(step_wires)
            else:
                terms = ((index, step.factor),) if step.factor else ()
                compiler.turn(step_wires[0], Turn(step.name, step.constant, terms))
    compiler.flush_all()
    return tuple(compiler.native)
