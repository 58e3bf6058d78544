"""What the simulators of other packages share: shots drawn here, and our noise models."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, DeviceError, DeviceSettings
from qweft.devices.noise.model import NoiseModel, noise_model
from qweft.devices.noise.native import native_gates
from qweft.devices.outcomes import Frequencies, sample


class LibrarySimulator(Device):
    """A simulator of another package.

    The probabilities are the package's. Shots are drawn from them here: the packages seed a whole batch, so a circuit's
    counts would depend on its neighbours, or cannot be seeded at all; and one call for all circuits is 10 to 100 times
    as fast as one call for each.

    Args:
        name: As the user gave it.
        settings: `seed` of the shots; `noise` and `noise_scale` where it takes a noise model.
    """

    keeps_results = False

    def __init__(self, name: str, settings: DeviceSettings) -> None:
        super().__init__(name)
        self._settings = settings

    def identity(self) -> str:
        """Its name, its noise and the seed."""
        return f"{self.name} {self._noise_identity()} seed {self._settings.seed}"

    def check(self, shots: int | None) -> None:
        """Shots are optional.

        Raises:
            DeviceError: If a number below 1 is given.
        """
        if shots is not None and shots < 1:
            raise DeviceError(f"device {self.name} takes a number of shots of at least 1, or none, got {shots}")

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """The probabilities, or frequencies of so many shots: the same for the same circuit, shots and settings."""
        self.check(shots)
        found = self.probabilities(circuits)
        if shots is None:
            return Frequencies(found, None)
        keys = [f"{self.name} {key}" for key in list(circuits.keys())]  # another simulator draws other numbers
        return Frequencies(sample(found, shots, keys, self._settings.seed), shots)

    @abstractmethod
    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        """The probability of every outcome as the package computes it, (circuits, 2^n), qubit 0 first."""

    def _noise_identity(self) -> str:
        return ""


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
