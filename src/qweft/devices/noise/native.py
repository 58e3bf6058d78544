"""Our gates in those of a chip: any one-qubit gate (U3), and CZ.

A controlled phase is two CZ gates with rotations of the target around them, for every angle t (first factor last):

    CRZ(t) = RZ(t/2) RY(pi/2) . CZ . RX(t/2) . CZ . RY(-pi/2)

because RY(pi/2) CZ RY(-pi/2) is CNOT, and CRZ(t) = RZ(t/2) CNOT RZ(-t/2) CNOT. Rotations of a qubit that follow each
other are one U3. What comes out depends on gates and wires alone, never on angles: no gate is left out because an angle
happens to be zero. Any two qubits can be neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from qweft.circuit.gates import GATES

Gates = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Turn:
    """A rotation exp(-i t P / 2) about an axis P, with t = constant + sum of factor times angle over the terms.

    Args:
        axis: "x", "y" or "z".
        constant: In radians.
        terms: (number of the gate whose angle it is, factor).
    """

    axis: Literal["x", "y", "z"]
    constant: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()

    def after(self, other: "Turn") -> "Turn":
        """Both in one, where they share an axis."""
        return Turn(self.axis, self.constant + other.constant, other.terms + self.terms)


@dataclass(frozen=True)
class NativeGate:
    """A gate of the chip.

    Args:
        wires: One for a U3, two for a CZ.
        turns: Of a U3, in the order in which they act.
    """

    wires: tuple[int, ...]
    turns: tuple[Turn, ...] = ()


@dataclass
class _Waiting:
    """The rotations of each qubit that no native gate holds yet."""

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
    """The native gates of a circuit, in the order in which they act.

    Args:
        gates: As in `BoundCircuits.gates`.
        barriers: As in `BoundCircuits.barriers`: rotations before and after one are not merged.
    """
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


def native_counts(gates: Gates, barriers: tuple[int, ...] = ()) -> dict[str, int]:
    """How many U3 and how many CZ gates the circuit takes."""
    found = native_gates(gates, barriers)
    two = sum(len(gate.wires) == 2 for gate in found)
    return {"u3": len(found) - two, "cz": two}
