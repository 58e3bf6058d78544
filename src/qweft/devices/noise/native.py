"""Compilation of our gates to native gates: any one-qubit gate (U3), and CZ.

A controlled rotation takes two CZ gates and rotations of the target, for every angle t (the rightmost acts first):

    CRZ(t) = RZ(t/2) RY(pi/2) . CZ . RX(t/2) . CZ . RY(-pi/2)

because RY(pi/2) CZ RY(-pi/2) is CNOT, and CRZ(t) = RZ(t/2) CNOT RZ(-t/2) CNOT. Consecutive rotations of a qubit form
one U3. The result depends only on gates and wires, never on angles: no gate is dropped because an angle is zero. Any
two qubits can be coupled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np

from qweft.circuit.gates import GATES
from qweft.devices.bound import BoundCircuits

Gates = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Turn:
    """A rotation exp(-i t P / 2) about an axis P, with t = constant + sum of factor times angle over the terms."""

    axis: Literal["x", "y", "z"]
    constant: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()

    def after(self, other: "Turn") -> "Turn":
        """Return the rotation that applies `other` first, then this one. Both must have the same axis."""
        return Turn(self.axis, self.constant + other.constant, other.terms + self.terms)


@dataclass(frozen=True)
class NativeGate:
    """A native gate."""

    wires: tuple[int, ...]
    turns: tuple[Turn, ...] = ()


@dataclass
class _Waiting:
    """Collects each qubit's rotations until a CZ or barrier turns them into a native gate."""

    turns: dict[int, list[Turn]] = field(default_factory=dict)
    gates: list[NativeGate] = field(default_factory=list)

    def turn(self, wire: int, turn: Turn) -> None:
        waiting = self.turns.setdefault(wire, [])
        if waiting and waiting[-1].axis == turn.axis:
            turn = turn.after(waiting.pop())
        waiting.append(turn)

    def flush(self, wires: Sequence[int]) -> None:
        for wire in wires:
            if turns := self.turns.pop(wire, None):
                self.gates.append(NativeGate((wire,), tuple(turns)))

    def cz(self, control: int, target: int) -> None:
        self.flush((control, target))
        self.gates.append(NativeGate((control, target)))


@lru_cache(maxsize=256)
def native_gates(gates: Gates, barriers: tuple[int, ...] = ()) -> tuple[NativeGate, ...]:
    """Return a circuit's native gates in the order of execution."""
    waiting = _Waiting()
    for place, (name, wires) in enumerate(gates):
        if place in barriers:
            waiting.flush(sorted(waiting.turns))
        for step in GATES[name].native:
            on = [wires[each] for each in step.places]
            if step.name == "cz":
                waiting.cz(*on)
            else:
                terms = ((place, step.factor),) if step.factor else ()
                waiting.turn(on[0], Turn(step.name, step.constant, terms))
    waiting.flush(sorted(waiting.turns))
    return tuple(waiting.gates)


@dataclass(frozen=True)
class Step:
    """One step of a circuit in native gates: a rotation by a column of angles, a CZ, or a one-qubit gate's error."""

    name: Literal["rx", "ry", "rz", "cz", "error"]
    wires: tuple[int, ...]
    column: int = -1


def noisy_steps(circuits: BoundCircuits) -> tuple[tuple[Step, ...], np.ndarray]:
    """Convert circuits to native gates, for simulators of other packages; return the steps and columns of angles.

    Rotations have no error; an "error" after each one-qubit gate carries it.
    """
    steps: list[Step] = []
    columns: list[np.ndarray] = []
    for gate in native_gates(circuits.gates, circuits.barriers):
        for turn in gate.turns:
            angle = np.full(len(circuits), turn.constant)
            for place, factor in turn.terms:
                angle = angle + factor * circuits.angles[:, place]
            steps.append(Step(f"r{turn.axis}", gate.wires, len(columns)))  # type: ignore[arg-type]
            columns.append(angle)
        steps.append(Step("error" if gate.turns else "cz", gate.wires))
    return tuple(steps), np.stack(columns, 1) if columns else np.zeros((len(circuits), 0))
