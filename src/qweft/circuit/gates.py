"""All gates and their properties, which all else reads: a new gate is a new entry of `GATES`, no other file changes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

Matrix = list[list["torch.Tensor | None"]]
"""Rows of entries, each of the angle's shape; `None` for entries that are zero at every angle."""

Shifts = tuple[tuple[float, float], ...]
"""(shift, coefficient): the derivative with respect to the angle is the sum of coefficient times value at angle +
shift.
"""

_MORE, _LESS = ((math.sqrt(2) + sign) / (4 * math.sqrt(2)) for sign in (1, -1))

TWO_SHIFTS: Shifts = ((math.pi / 2, 0.5), (-math.pi / 2, -0.5))
"""For a gate whose generator's eigenvalues differ by 0 or 1: exp(-i t P / 2) for a product P of Paulis."""

FOUR_SHIFTS: Shifts = (
    (math.pi / 2, _MORE),
    (-math.pi / 2, -_MORE),
    (3 * math.pi / 2, -_LESS),
    (-3 * math.pi / 2, _LESS),
)
"""For a gate whose generator's eigenvalues differ by 0, 1/2 or 1: exp(-i t P / 2) with a control."""


@dataclass(frozen=True)
class NativeStep:
    """A rotation by constant + factor times the gate's angle, or a CZ: the gates of the chips in the noise models."""

    name: Literal["x", "y", "z", "cz"]  # axis of the rotation, or CZ
    places: tuple[int, ...]  # indices into the gate's wires
    constant: float = 0.0  # in radians
    factor: float = 0.0


@dataclass(frozen=True)
class GateKind:
    """A gate: G(t) of one angle t in radians, with G(0) = 1 and G(-t) the inverse of G(t), or one without an angle."""

    name: str
    matrix: Callable[["torch.Tensor"], Matrix]  # of angles (or their shape and type); first target: highest bit
    native: tuple[NativeStep, ...]  # up to a global phase, in the order in which they act
    controls: int = 0  # leading wires: it acts where all are |1>
    targets: int = 1  # wires after them, on which `matrix` acts
    generator: str = ""  # P, a letter for each target, if the gate is exp(-i t P / 2); else empty
    turns: tuple[tuple[str, tuple[int, ...], float], ...] = ()  # without angle: rotations exp(-i t P / 2), up to phase
    flips: bool = False  # whether it is X on its target, with its controls
    block: Literal["rotation", "diagonal"] | None = None  # of fast engines: exp(-i t Y / 2), or of Z with one control
    openqasm2: str = ""  # statements with {0} and {angle}, if qelib1.inc has no such gate
    originir: str = ""  # the same in OriginIR; may have several lines
    qiskit: str = ""  # in OpenQASM 3 and method of `QuantumCircuit`, (angle, *wires) or (*wires), else `name`
    pennylane: str = ""  # operation of (angle, wires=...), or (wires=...), else its name in capitals

    @property
    def wires(self) -> int:
        """Number of qubits that the gate acts on."""
        return self.controls + self.targets

    @property
    def has_angle(self) -> bool:
        """Whether the gate has an angle."""
        return bool(self.generator)

    @property
    def shifts(self) -> Shifts:
        """Parameter-shift rule of the gate; empty without an angle."""
        return (FOUR_SHIFTS if self.controls else TWO_SHIFTS) if self.has_angle else ()

    @property
    def is_diagonal(self) -> bool:
        """Whether its matrix is diagonal at every angle."""
        return not self.flips and set(self.generator + "".join(paulis for paulis, _, _ in self.turns)) == {"Z"}

    @property
    def box(self) -> str:
        """Text of a drawing's boxes on the targets, before the angle."""
        return f"R{self.generator}" if self.has_angle else "X" if self.flips else self.name[-1:].upper()

    @property
    def method(self) -> str:
        """Name of the method of Qiskit's `QuantumCircuit`."""
        return self.qiskit or self.name

    def spelled(self, language: str, wires: tuple[int, ...], angle: str) -> str:
        """Return statements in "openqasm2", "openqasm3" or "originir", with qubits q[i]; the angle is any text."""
        qubits = [f"q[{wire}]" for wire in wires]
        call = f"({angle})" if self.has_angle else ""
        if language == "openqasm3" and self.targets == 1:  # a gate of stdgates.inc
            template = ""
        else:
            template = self.originir if language == "originir" else self.openqasm2
        if template:
            return template.format(*qubits, angle=angle)
        if language != "originir":
            return f"{self.method}{call} {(', ' if language == 'openqasm3' else ',').join(qubits)};"
        last = f",{call}" if call else ""
        if self.controls and call:
            return f"CONTROL {qubits[0]}\n{self.box} {qubits[1]}{last}\nENDCONTROL"
        return f"{self.name.upper()} {','.join(qubits)}{last}"


_PAULIS = {"X": ((0, 1), (1, 0)), "Y": ((0, -1j), (1j, 0)), "Z": ((1, 0), (0, -1))}


def _exponential(paulis: str) -> Callable[["torch.Tensor"], Matrix]:
    """Return the `matrix` of exp(-i t P / 2) = cos(t / 2) - i sin(t / 2) P for a product P of Paulis."""
    rows: list[list[complex]] = [[1]]
    for letter in paulis:
        rows = [[a * b for a in row for b in other] for row in rows for other in _PAULIS[letter]]
    factors = [[(-1j * entry).real or -1j * entry for entry in row] for row in rows]

    def matrix(angle: "torch.Tensor") -> Matrix:
        cos, sin = (angle / 2).cos(), (angle / 2).sin()
        found = [[factor * sin if factor else None for factor in row] for row in factors]
        for place, row in enumerate(found):
            entry = row[place]
            row[place] = cos if entry is None else cos + entry
        return found

    return matrix


def _fixed(*rows: tuple[complex, ...]) -> Callable[["torch.Tensor"], Matrix]:
    """Return the `matrix` of a gate without an angle; zeros are left out."""

    def matrix(angle: "torch.Tensor") -> Matrix:
        import torch  # here, since devices are listed by this table without it

        one = torch.ones_like(angle)
        return [[None if entry == 0 else one * entry for entry in row] for row in rows]

    return matrix


_X, _H = _fixed((0, 1), (1, 0)), _fixed((math.sqrt(0.5), math.sqrt(0.5)), (math.sqrt(0.5), -math.sqrt(0.5)))
_RIGHT = math.pi / 2

_CZ = NativeStep("cz", (0, 1))
_TO_X = NativeStep("y", (1,), constant=-_RIGHT)
_FROM_X = NativeStep("y", (1,), constant=_RIGHT)
_CNOT = (_TO_X, _CZ, _FROM_X)
"""CNOT = RY(pi/2) CZ RY(-pi/2), on the target."""
_CRZ = (_TO_X, _CZ, NativeStep("x", (1,), factor=0.5), _CZ, _FROM_X, NativeStep("z", (1,), factor=0.5))
"""CRZ(t) = RZ(t/2) CNOT RZ(-t/2) CNOT, the CNOTs as above."""


def _rotation(axis: str, block: Literal["rotation"] | None = None) -> GateKind:
    """Return exp(-i t P / 2) of one qubit."""
    name: Any = axis.lower()
    steps = (NativeStep(name, (0,), factor=1.0),)
    return GateKind(f"r{name}", _exponential(axis), steps, generator=axis, block=block)


def _turn(name: str, matrix: Callable[["torch.Tensor"], Matrix], *angles: tuple[str, float]) -> GateKind:
    """Return a gate on one qubit without an angle that is some rotations of it."""
    steps = tuple(NativeStep(axis.lower(), (0,), constant=angle) for axis, angle in angles)  # type: ignore[arg-type]
    turns = tuple((axis, (0,), angle) for axis, angle in angles)
    return GateKind(name, matrix, steps, turns=turns)


def _controlled(axis: str, native: tuple[NativeStep, ...], **more: Any) -> GateKind:
    """Return exp(-i t P / 2) of the target where the control is |1>."""
    name = f"cr{axis.lower()}"
    return GateKind(name, _exponential(axis), native, controls=1, generator=axis, **more)


_EIGHTH = complex(math.sqrt(0.5), math.sqrt(0.5))
GATES: dict[str, GateKind] = {
    kind.name: kind
    for kind in (
        _rotation("X"),
        _rotation("Y", "rotation"),
        _rotation("Z"),
        # (X + Z) / sqrt(2) = RY(pi/2) Z
        replace(_turn("h", _H, ("Z", math.pi), ("Y", _RIGHT)), pennylane="Hadamard"),
        GateKind("x", _X, (NativeStep("x", (0,), constant=math.pi),), flips=True),
        # diag(1, i) and diag(1, exp(i pi/4))
        _turn("s", _fixed((1, 0), (0, 1j)), ("Z", _RIGHT)),
        _turn("t", _fixed((1, 0), (0, _EIGHTH)), ("Z", _RIGHT / 2)),
        # X on the target where the control is |1>
        GateKind("cnot", _X, _CNOT, controls=1, flips=True, qiskit="cx"),
        # diag(1, 1, 1, -1) = RZZ(-pi/2) RZ(pi/2) RZ(pi/2), up to a phase
        GateKind(
            "cz",
            _fixed((1, 0), (0, -1)),
            (_CZ,),
            controls=1,
            turns=(("Z", (0,), _RIGHT), ("Z", (1,), _RIGHT), ("ZZ", (0, 1), -_RIGHT)),
        ),
        # RY(pi/2) CRZ(t) RY(-pi/2)
        _controlled("X", (_TO_X, *_CRZ, _FROM_X), openqasm2="h {1};\ncrz({angle}) {0},{1};\nh {1};"),
        # CNOT RY(-t/2) CNOT RY(t/2)
        _controlled(
            "Y",
            (NativeStep("y", (1,), factor=0.5), *_CNOT, NativeStep("y", (1,), factor=-0.5), *_CNOT),
            openqasm2="ry(({angle})/2) {1};\ncx {0},{1};\nry(-({angle})/2) {1};\ncx {0},{1};",
        ),
        # diag(1, 1, exp(-i t / 2), exp(i t / 2)) on (control, target)
        _controlled("Z", _CRZ, block="diagonal"),
        # exp(-i t X X / 2): RZZ between the turns that take X to Z and back
        GateKind(
            "rxx",
            _exponential("XX"),
            (
                NativeStep("y", (0,), constant=-_RIGHT),
                _TO_X,
                *_CNOT,
                NativeStep("z", (1,), factor=1.0),
                *_CNOT,
                NativeStep("y", (0,), constant=_RIGHT),
                _FROM_X,
            ),
            targets=2,
            generator="XX",
            openqasm2="h {0};\nh {1};\ncx {0},{1};\nrz({angle}) {1};\ncx {0},{1};\nh {0};\nh {1};",
            originir="H {0}\nH {1}\nCNOT {0},{1}\nRZ {1},({angle})\nCNOT {0},{1}\nH {0}\nH {1}",
            pennylane="IsingXX",
        ),
        # exp(-i t Z Z / 2) = CNOT RZ(t) CNOT
        GateKind(
            "rzz",
            _exponential("ZZ"),
            (*_CNOT, NativeStep("z", (1,), factor=1.0), *_CNOT),
            targets=2,
            generator="ZZ",
            openqasm2="cx {0},{1};\nrz({angle}) {1};\ncx {0},{1};",
            originir="CNOT {0},{1}\nRZ {1},({angle})\nCNOT {0},{1}",
            pennylane="IsingZZ",
        ),
    )
}
"""The gates by name."""
