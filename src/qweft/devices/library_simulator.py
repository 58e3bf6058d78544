"""Base class of other packages' simulators: samples shots, applies our noise models."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceSettings, Simulator
from qweft.devices.noise.model import NoiseModel, noise_model
from qweft.devices.noise.native import native_gates


class LibrarySimulator(Simulator):
    """A simulator of another package.

    The package computes the probabilities, and Qweft samples the shots. The packages either cannot be seeded or seed a
    whole batch, so that a circuit's counts would depend on the other circuits. One call for all circuits is also 10 to
    100 times as fast as one call per circuit.
    """

    def keys(self, circuits: BoundCircuits) -> list[str]:
        """Return the circuits' keys with the device's name: each simulator samples its own numbers."""
        return [f"{self.name} {key}" for key in super().keys(circuits)]


@dataclass(frozen=True)
class Step:
    """One step of a circuit in native gates."""

    name: Literal["rx", "ry", "rz", "cz", "error"]
    wires: tuple[int, ...]
    column: int = -1


def named_noise(settings: DeviceSettings) -> NoiseModel | None:
    """Return the noise model in the settings, scaled, or `None` if they name none."""
    return None if settings.noise is None else noise_model(settings.noise).scaled(settings.noise_scale)


def noisy_steps(circuits: BoundCircuits) -> tuple[tuple[Step, ...], np.ndarray]:
    """Convert circuits to native gates."""
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
