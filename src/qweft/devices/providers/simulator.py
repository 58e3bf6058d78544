"""What the simulators of all families share: probabilities from their package, shots drawn from them here."""

from abc import abstractmethod

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device
from qweft.devices.errors import DeviceError
from qweft.devices.frequencies import Frequencies
from qweft.devices.sampling import sample
from qweft.devices.settings import DeviceSettings


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
