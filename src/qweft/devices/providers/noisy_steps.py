"""A named noise model for the simulators of other packages: where their own channels are to act."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.noise.model import NoiseModel
from qweft.devices.noise.named import noise_model
from qweft.devices.noise.native import native_gates
from qweft.devices.settings import DeviceSettings


@dataclass(frozen=True)
class Step:
    """One step of a circuit in the gates of a chip.

    Args:
        name: A rotation or CZ without error, or "error": a one-qubit gate, which may be several rotations, ends here.
        wires: The qubits, the control first.
        column: Of a rotation, its column in the table of angles.
    """

    name: Literal["rx", "ry", "rz", "cz", "error"]
    wires: tuple[int, ...]
    column: int = -1


def named_noise(settings: DeviceSettings) -> NoiseModel | None:
    """The noise model that the settings name, or none.

    Raises:
        DeviceError: If there is no such model, or it cannot be scaled so far.
    """
    return None if settings.noise is None else noise_model(settings.noise).scaled(settings.noise_scale)


def noisy_steps(circuits: BoundCircuits) -> tuple[tuple[Step, ...], np.ndarray]:
    """The circuits in native gates, and what their rotations turn by.

    Returns:
        The steps that all circuits share, and the angles, (circuits, rotations), in radians.
    """
    steps: list[Step] = []
    columns: list[np.ndarray] = []
    for gate in native_gates(circuits.gates, circuits.barriers):
        if not gate.turns:
            steps.append(Step("cz", gate.wires))
            continue
        for turn in gate.turns:
            angle = np.full(len(circuits), turn.constant)
            for place, factor in turn.terms:
                angle = angle + factor * circuits.angles[:, place]
            steps.append(Step(f"r{turn.axis}", gate.wires, len(columns)))  # type: ignore[arg-type]
            columns.append(angle)
        steps.append(Step("error", gate.wires))
    return tuple(steps), np.stack(columns, 1) if columns else np.zeros((len(circuits), 0))
