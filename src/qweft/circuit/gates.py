"""All gates and their properties. A new gate is a new entry of `GATES`, and no other file changes.

Descriptions, engines, drawings, exports, noise models and gradients read this table. The fast engines run only gates
with a `block`; a circuit with another gate runs gate by gate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
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
    """A rotation by constant + factor times the gate's angle, or a CZ: the gates of the chips in the noise models.

    Args:
        name: Axis of the rotation, or "cz".
        places: Indices into the gate's wires.
        constant: Constant part of the angle, in radians.
        factor: Multiple of the gate's angle.
    """

    name: Literal["x", "y", "z", "cz"]
    places: tuple[int, ...]
    constant: float = 0.0
    factor: float = 0.0


@dataclass(frozen=True)
class GateKind:
    """A gate: G(t) of one angle t in radians, with G(0) = 1 and G(-t) the inverse of G(t), or one without an angle.

    Args:
        controls: Number of leading wires that control it: it acts where all of them are |1>.
        targets: Number of wires after them, on which `matrix` acts.
        matrix: Maps angles to the matrix on the targets, the first target being the most significant bit. A gate
            without an angle reads shape and type alone.
        native: The gate in native steps, up to a global phase, in the order in which they act.
        box: Text of a drawing's boxes on the targets, before the angle.
        openqasm2: Statements with {0} for the first wire and {angle}, in the gates of qelib1.inc.
        openqasm3: The same in the gates of stdgates.inc; empty where it is the same text.
        originir: The same in OriginIR; may have several lines.
        qiskit: Name of the method of `QuantumCircuit` that takes (angle, *wires), or (*wires).
        pennylane: Name of PennyLane's operation, which takes (angle, wires=...), or (wires=...).
        pyqpanda3: Name of the function of `pyqpanda3.core` that takes (*wires, angle), or (*wires).
        generator: P, a letter for each target, if the gate is exp(-i t P / 2); else empty.
        turns: A gate without an angle as rotations exp(-i t P / 2) of its wires, up to a global phase.
        flips: Whether it is X on its target, with its controls.
        shifts: Parameter-shift rule of the gate; empty without an angle.
        block: The block of the fast engines that it belongs to: "rotation" for exp(-i t Y / 2), "diagonal" for the same
            of Z with one control. `None` for other gates.
    """

    controls: int
    targets: int
    matrix: Callable[["torch.Tensor"], Matrix]
    native: tuple[NativeStep, ...]
    box: str
    openqasm2: str
    originir: str
    qiskit: str
    pennylane: str
    pyqpanda3: str
    openqasm3: str = ""
    generator: str = ""
    turns: tuple[tuple[str, tuple[int, ...], float], ...] = ()
    flips: bool = False
    shifts: Shifts = ()
    block: Literal["rotation", "diagonal"] | None = None

    @property
    def wires(self) -> int:
        """Number of qubits that the gate acts on."""
        return self.controls + self.targets

    @property
    def has_angle(self) -> bool:
        """Whether the gate has an angle."""
        return bool(self.generator)

    @property
    def is_diagonal(self) -> bool:
        """Whether its matrix is diagonal at every angle."""
        return not self.flips and set(self.generator + "".join(paulis for paulis, _, _ in self.turns)) == {"Z"}

    def called(self, make: Callable[..., Any], wires: tuple[int, ...], angle: Any) -> Any:
        """Return make(angle, *wires), without the angle for a gate that has none."""
        return make(angle, *wires) if self.has_angle else make(*wires)


def _halves(angle: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Return cos(t / 2) and -i sin(t / 2)."""
    half = angle / 2
    return half.cos(), -1j * half.sin()


def _rx(angle: "torch.Tensor") -> Matrix:
    """Return exp(-i t X / 2)."""
    cos, sin = _halves(angle)
    return [[cos, sin], [sin, cos]]


def _ry(angle: "torch.Tensor") -> Matrix:
    """Return exp(-i t Y / 2)."""
    cos, sin = (angle / 2).cos(), (angle / 2).sin()
    return [[cos, -sin], [sin, cos]]


def _rz(angle: "torch.Tensor") -> Matrix:
    """Return exp(-i t Z / 2)."""
    cos, sin = _halves(angle)
    return [[cos + sin, None], [None, cos - sin]]


def _rxx(angle: "torch.Tensor") -> Matrix:
    """Return exp(-i t X X / 2)."""
    cos, sin = _halves(angle)
    return [[cos, None, None, sin], [None, cos, sin, None], [None, sin, cos, None], [sin, None, None, cos]]


def _rzz(angle: "torch.Tensor") -> Matrix:
    """Return exp(-i t Z Z / 2)."""
    cos, sin = _halves(angle)
    equal, unequal = cos + sin, cos - sin
    return [
        [equal, None, None, None],
        [None, unequal, None, None],
        [None, None, unequal, None],
        [None, None, None, equal],
    ]


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

GATES: dict[str, GateKind] = {
    # exp(-i t X / 2)
    "rx": GateKind(
        controls=0,
        targets=1,
        matrix=_rx,
        generator="X",
        shifts=TWO_SHIFTS,
        native=(NativeStep("x", (0,), factor=1.0),),
        box="RX",
        openqasm2="rx({angle}) {0};",
        originir="RX {0},({angle})",
        qiskit="rx",
        pennylane="RX",
        pyqpanda3="RX",
    ),
    # exp(-i t Y / 2)
    "ry": GateKind(
        controls=0,
        targets=1,
        matrix=_ry,
        generator="Y",
        shifts=TWO_SHIFTS,
        native=(NativeStep("y", (0,), factor=1.0),),
        box="RY",
        openqasm2="ry({angle}) {0};",
        originir="RY {0},({angle})",
        qiskit="ry",
        pennylane="RY",
        pyqpanda3="RY",
        block="rotation",
    ),
    # exp(-i t Z / 2)
    "rz": GateKind(
        controls=0,
        targets=1,
        matrix=_rz,
        generator="Z",
        shifts=TWO_SHIFTS,
        native=(NativeStep("z", (0,), factor=1.0),),
        box="RZ",
        openqasm2="rz({angle}) {0};",
        originir="RZ {0},({angle})",
        qiskit="rz",
        pennylane="RZ",
        pyqpanda3="RZ",
    ),
    # (X + Z) / sqrt(2) = RY(pi/2) Z
    "h": GateKind(
        controls=0,
        targets=1,
        matrix=_H,
        turns=(("Z", (0,), math.pi), ("Y", (0,), _RIGHT)),
        native=(NativeStep("z", (0,), constant=math.pi), NativeStep("y", (0,), constant=_RIGHT)),
        box="H",
        openqasm2="h {0};",
        originir="H {0}",
        qiskit="h",
        pennylane="Hadamard",
        pyqpanda3="H",
    ),
    # [0 1; 1 0]
    "x": GateKind(
        controls=0,
        targets=1,
        matrix=_X,
        flips=True,
        native=(NativeStep("x", (0,), constant=math.pi),),
        box="X",
        openqasm2="x {0};",
        originir="X {0}",
        qiskit="x",
        pennylane="X",
        pyqpanda3="X",
    ),
    # diag(1, i)
    "s": GateKind(
        controls=0,
        targets=1,
        matrix=_fixed((1, 0), (0, 1j)),
        turns=(("Z", (0,), _RIGHT),),
        native=(NativeStep("z", (0,), constant=_RIGHT),),
        box="S",
        openqasm2="s {0};",
        originir="S {0}",
        qiskit="s",
        pennylane="S",
        pyqpanda3="S",
    ),
    # diag(1, exp(i pi/4))
    "t": GateKind(
        controls=0,
        targets=1,
        matrix=_fixed((1, 0), (0, complex(math.sqrt(0.5), math.sqrt(0.5)))),
        turns=(("Z", (0,), _RIGHT / 2),),
        native=(NativeStep("z", (0,), constant=_RIGHT / 2),),
        box="T",
        openqasm2="t {0};",
        originir="T {0}",
        qiskit="t",
        pennylane="T",
        pyqpanda3="T",
    ),
    # X on the target where the control is |1>
    "cnot": GateKind(
        controls=1,
        targets=1,
        matrix=_X,
        flips=True,
        native=_CNOT,
        box="X",
        openqasm2="cx {0},{1};",
        openqasm3="cx {0}, {1};",
        originir="CNOT {0},{1}",
        qiskit="cx",
        pennylane="CNOT",
        pyqpanda3="CNOT",
    ),
    # diag(1, 1, 1, -1) = RZZ(-pi/2) RZ(pi/2) RZ(pi/2), up to a phase
    "cz": GateKind(
        controls=1,
        targets=1,
        matrix=_fixed((1, 0), (0, -1)),
        turns=(("Z", (0,), _RIGHT), ("Z", (1,), _RIGHT), ("ZZ", (0, 1), -_RIGHT)),
        native=(_CZ,),
        box="Z",
        openqasm2="cz {0},{1};",
        openqasm3="cz {0}, {1};",
        originir="CZ {0},{1}",
        qiskit="cz",
        pennylane="CZ",
        pyqpanda3="CZ",
    ),
    # RX on the target where the control is |1>: RY(pi/2) CRZ(t) RY(-pi/2)
    "crx": GateKind(
        controls=1,
        targets=1,
        matrix=_rx,
        generator="X",
        shifts=FOUR_SHIFTS,
        native=(_TO_X, *_CRZ, _FROM_X),
        box="RX",
        openqasm2="h {1};\ncrz({angle}) {0},{1};\nh {1};",
        openqasm3="crx({angle}) {0}, {1};",
        originir="CONTROL {0}\nRX {1},({angle})\nENDCONTROL",
        qiskit="crx",
        pennylane="CRX",
        pyqpanda3="CRX",
    ),
    # RY on the target where the control is |1>: CNOT RY(-t/2) CNOT RY(t/2)
    "cry": GateKind(
        controls=1,
        targets=1,
        matrix=_ry,
        generator="Y",
        shifts=FOUR_SHIFTS,
        native=(NativeStep("y", (1,), factor=0.5), *_CNOT, NativeStep("y", (1,), factor=-0.5), *_CNOT),
        box="RY",
        openqasm2="ry(({angle})/2) {1};\ncx {0},{1};\nry(-({angle})/2) {1};\ncx {0},{1};",
        openqasm3="cry({angle}) {0}, {1};",
        originir="CONTROL {0}\nRY {1},({angle})\nENDCONTROL",
        qiskit="cry",
        pennylane="CRY",
        pyqpanda3="CRY",
    ),
    # diag(1, 1, exp(-i t / 2), exp(i t / 2)) on (control, target)
    "crz": GateKind(
        controls=1,
        targets=1,
        matrix=_rz,
        generator="Z",
        shifts=FOUR_SHIFTS,
        native=_CRZ,
        box="RZ",
        openqasm2="crz({angle}) {0},{1};",
        openqasm3="crz({angle}) {0}, {1};",
        originir="CONTROL {0}\nRZ {1},({angle})\nENDCONTROL",
        qiskit="crz",
        pennylane="CRZ",
        pyqpanda3="CRZ",
        block="diagonal",
    ),
    # exp(-i t X X / 2): RZZ between the turns that take X to Z and back
    "rxx": GateKind(
        controls=0,
        targets=2,
        matrix=_rxx,
        generator="XX",
        shifts=TWO_SHIFTS,
        native=(
            NativeStep("y", (0,), constant=-_RIGHT),
            _TO_X,
            *_CNOT,
            NativeStep("z", (1,), factor=1.0),
            *_CNOT,
            NativeStep("y", (0,), constant=_RIGHT),
            _FROM_X,
        ),
        box="RXX",
        openqasm2="h {0};\nh {1};\ncx {0},{1};\nrz({angle}) {1};\ncx {0},{1};\nh {0};\nh {1};",
        originir="H {0}\nH {1}\nCNOT {0},{1}\nRZ {1},({angle})\nCNOT {0},{1}\nH {0}\nH {1}",
        qiskit="rxx",
        pennylane="IsingXX",
        pyqpanda3="RXX",
    ),
    # exp(-i t Z Z / 2) = CNOT RZ(t) CNOT
    "rzz": GateKind(
        controls=0,
        targets=2,
        matrix=_rzz,
        generator="ZZ",
        shifts=TWO_SHIFTS,
        native=(*_CNOT, NativeStep("z", (1,), factor=1.0), *_CNOT),
        box="RZZ",
        openqasm2="cx {0},{1};\nrz({angle}) {1};\ncx {0},{1};",
        originir="CNOT {0},{1}\nRZ {1},({angle})\nCNOT {0},{1}",
        qiskit="rzz",
        pennylane="IsingZZ",
        pyqpanda3="RZZ",
    ),
}
"""The gates by name."""


def spelled(template: str, wires: tuple[int, ...], angle: str) -> str:
    """Return statements of a text format, its qubits written q[i]; the angle is a number, a name or a multiple."""
    return template.format(*(f"q[{wire}]" for wire in wires), angle=angle)
