"""The gates: all that is known of each. Another gate is another entry of `GATES`, and no other file changes.

Descriptions, the reference simulation, drawings, the formats of others, noise models and gradients read this table. The
fast engines know `ry` and `crz` alone; a circuit with another gate runs gate by gate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

Matrix = list[list[torch.Tensor | None]]
"""Rows of entries, each of the angle's shape; `None` where an entry is zero at every angle."""

Shifts = tuple[tuple[float, float], ...]
"""(shift, coefficient): the derivative by the angle is the sum of coefficient times value at angle + shift."""

_MORE, _LESS = ((math.sqrt(2) + sign) / (4 * math.sqrt(2)) for sign in (1, -1))

TWO_SHIFTS: Shifts = ((math.pi / 2, 0.5), (-math.pi / 2, -0.5))
"""Of a gate whose generator's eigenvalues differ by 0 and 1: exp(-i t P / 2) for a product P of Paulis."""

FOUR_SHIFTS: Shifts = (
    (math.pi / 2, _MORE),
    (-math.pi / 2, -_MORE),
    (3 * math.pi / 2, -_LESS),
    (-3 * math.pi / 2, _LESS),
)
"""Of a gate whose generator's eigenvalues differ by 0, 1/2 and 1: the same with a control."""


@dataclass(frozen=True)
class NativeStep:
    """A rotation by constant + factor times the gate's angle, or a CZ: what the chips of the noise models have.

    Args:
        name: The rotation's axis, or "cz".
        places: Which of the gate's wires, by their place among them.
        constant: In radians.
        factor: Of the gate's angle.
    """

    name: Literal["x", "y", "z", "cz"]
    places: tuple[int, ...]
    constant: float = 0.0
    factor: float = 0.0


@dataclass(frozen=True)
class GateKind:
    """A gate G(t) of one angle t, with G(0) = 1 and G(-t) the inverse of G(t).

    Args:
        controls: So many of its wires, the first ones, control it: it acts where all of them are |1>.
        targets: Wires behind them, on which `matrix` acts.
        matrix: From angles to the matrix on the targets, the first target the most significant bit.
        is_diagonal: Whether that matrix is diagonal at every angle.
        shifts: How gradients are measured.
        native: The same up to a global phase, in the order in which the steps act.
        box: What a drawing writes into the boxes on the targets, before the angle.
        openqasm2: A statement, with {0} for the first wire and {angle}; its gates are those of qelib1.inc.
        openqasm3: The same with the gates of stdgates.inc.
        originir: The same in OriginIR; may have several lines.
        qiskit: Name of the method of `QuantumCircuit` that takes (angle, *wires).
        pennylane: Name of PennyLane's operation, which takes (angle, wires=...).
        pyqpanda3: Name of the function of `pyqpanda3.core` that takes (*wires, angle).
    """

    controls: int
    targets: int
    matrix: Callable[[torch.Tensor], Matrix]
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

    @property
    def wires(self) -> int:
        """How many qubits it takes."""
        return self.controls + self.targets


def _ry(angle: torch.Tensor) -> Matrix:
    """Compute exp(-i t Y / 2)."""
    cos, sin = (angle / 2).cos(), (angle / 2).sin()
    return [[cos, -sin], [sin, cos]]


def _rz(angle: torch.Tensor) -> Matrix:
    """Compute exp(-i t Z / 2)."""
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
    ),
}
"""The gates by name."""


def spelled(template: str, wires: tuple[int, ...], angle: str) -> str:
    """A statement of a text format, its qubits written q[i].

    Args:
        template: `GateKind.openqasm2`, `openqasm3` or `originir`.
        wires: The gate's.
        angle: A number, or a name.
    """
    return template.format(*(f"q[{wire}]" for wire in wires), angle=angle)
