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
    """A rotation exp(-i t P / 2) about an axis P, with t = constant + sum of factor times angle over the terms."""

    axis: Literal["x", "y", "z"]
    constant: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class NativeGate:
    """A CZ, or a one-qubit gate with its rotations in the order in which they act."""

    wires: tuple[int, ...]
    turns: tuple[Turn, ...] = ()


@lru_cache(maxsize=256)
def native_gates(gates: Gates, barriers: tuple[int, ...] = ()) -> tuple[NativeGate, ...]:
    """Return a circuit's native gates in the order of execution."""
    native: list[NativeGate] = []
    waiting: dict[int, list[Turn]] = {}  # rotations of each wire, until a CZ or a barrier makes a gate of them

    def flush(wires: Iterable[int]) -> None:
        native.extend(NativeGate((wire,), tuple(waiting.pop(wire))) for wire in wires if wire in waiting)

    for place, (name, wires) in enumerate(gates):
        if place in barriers:
            flush(sorted(waiting))
        for step in GATES[name].native:
            on = tuple(wires[each] for each in step.places)
            if step.name == "cz":
                flush(on)
                native.append(NativeGate(on))
                continue
            turns = waiting.setdefault(on[0], [])
            turn = Turn(step.name, step.constant, ((place, step.factor),) if step.factor else ())
            if turns and turns[-1].axis == turn.axis:
                last = turns.pop()
                turn = Turn(turn.axis, turn.constant + last.constant, last.terms + turn.terms)
            turns.append(turn)
    flush(sorted(waiting))
    return tuple(native)
