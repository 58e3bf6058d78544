"""All gates and their properties. A new gate is a new entry of `GATES`, and no other file changes.

Descriptions, engines, drawings, exports, noise models and gradients read this table. The fast engines run only gates
with a `block`; a circuit with another gate runs gate by gate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
    """A gate G(t) of one angle t in radians, with G(0) = 1 and G(-t) the inverse of G(t).

    Args:
        controls: Number of leading wires that control it: it acts where all of them are |1>.
        targets: Number of wires after them, on which `matrix` acts.
        matrix: Maps angles to the matrix on the targets, the first target being the most significant bit.
        is_diagonal: Whether that matrix is diagonal at every angle.
        shifts: Parameter-shift rule of the gate.
        native: The gate in native steps, up to a global phase, in the order in which they act.
        box: Text of a drawing's boxes on the targets, before the angle.
        openqasm2: Statement with {0} for the first wire and {angle}, in the gates of qelib1.inc.
        openqasm3: The same in the gates of stdgates.inc.
        originir: The same in OriginIR; may have several lines.
        qiskit: Name of the method of `QuantumCircuit` that takes (angle, *wires).
        pennylane: Name of PennyLane's operation, which takes (angle, wires=...).
        pyqpanda3: Name of the function of `pyqpanda3.core` that takes (*wires, angle).
        block: The block of the fast engines that it belongs to: "rotation" for exp(-i t Y / 2), "diagonal" for the same
            of Z with one control. `None` for other gates.
    """

    controls: int
    targets: int
    matrix: Callable[["torch.Tensor"], Matrix]
    is_diagonal: bool
    shifts: Shifts
    native: tuple[NativeStep, ...]
    box: str
    openqasm2: str
    openqasm3: str
    originir: str
    qiskit: str
    pennylane: str
    pyqpanda3: str
    block: Literal["rotation", "diagonal"] | None = None

    @property
    def wires(self) -> int:
        """Number of qubits that the gate acts on."""
        return self.controls + self.targets


def _ry(angle: "torch.Tensor") -> Matrix:
    """Return exp(-i t Y / 2)."""
    cos, sin = (angle / 2).cos(), (angle / 2).sin()
    return [[cos, -sin], [sin, cos]]


def _rz(angle: "torch.Tensor") -> Matrix:
    """Return exp(-i t Z / 2)."""
    import torch  # here, since devices are listed by this table without it

    phase = torch.complex((angle / 2).cos(), (angle / 2).sin())
    return [[phase.conj(), None], [None, phase]]


GATES: dict[str, GateKind] = {
    # exp(-i t Y / 2)
    "ry": GateKind(
        controls=0,
        targets=1,
        matrix=_ry,
        is_diagonal=False,
        shifts=TWO_SHIFTS,
        native=(NativeStep("y", (0,), factor=1.0),),
        box="RY",
        openqasm2="ry({angle}) {0};",
        openqasm3="ry({angle}) {0};",
        originir="RY {0},({angle})",
        qiskit="ry",
        pennylane="RY",
        pyqpanda3="RY",
        block="rotation",
    ),
    # diag(1, 1, exp(-i t / 2), exp(i t / 2)) on (control, target). In native gates CRZ(t) = RZ(t/2) CNOT RZ(-t/2) CNOT,
    # with CNOT = RY(pi/2) CZ RY(-pi/2) around the target's CZ
    "crz": GateKind(
        controls=1,
        targets=1,
        matrix=_rz,
        is_diagonal=True,
        shifts=FOUR_SHIFTS,
        native=(
            NativeStep("y", (1,), constant=-math.pi / 2),
            NativeStep("cz", (0, 1)),
            NativeStep("x", (1,), factor=0.5),
            NativeStep("cz", (0, 1)),
            NativeStep("y", (1,), constant=math.pi / 2),
            NativeStep("z", (1,), factor=0.5),
        ),
        box="RZ",
        openqasm2="crz({angle}) {0},{1};",
        openqasm3="crz({angle}) {0}, {1};",
        originir="CONTROL {0}\nRZ {1},({angle})\nENDCONTROL",
        qiskit="crz",
        pennylane="CRZ",
        pyqpanda3="CRZ",
        block="diagonal",
    ),
}
"""The gates by name."""


def spelled(template: str, wires: tuple[int, ...], angle: str) -> str:
    """Return a statement of a text format, its qubits written q[i]; the angle is a number or a name."""
    return template.format(*(f"q[{wire}]" for wire in wires), angle=angle)
