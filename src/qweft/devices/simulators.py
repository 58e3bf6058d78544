"""Simulators: our own `exact`, `shots` and `noisy`, and the base class of those of other packages.

PyTorch is imported when the first circuit runs, so that devices are listed without it.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, DeviceError, DeviceSettings, Limits
from qweft.devices.noise.model import MOST_QUBITS, NoiseModel, noise_model
from qweft.devices.outcomes import Frequencies, sample

NUMBERS_AT_A_TIME = 2**22
"""Numbers per batch: 64 MiB in complex128."""


class Simulator(Device, ABC):
    """Computes probabilities, and samples from them if shots are given; equal circuits give equal frequencies."""

    may_bill = False
    keeps_results = False
    needs_shots: ClassVar[bool | None] = None
    """Whether shots must be given (True) or cannot be given (False); `None` if they are optional."""

    def __init__(self, name: str, settings: DeviceSettings) -> None:
        super().__init__(name)
        self._seed = settings.seed

    def identity(self) -> str:
        return f"{self.name} seed {self._seed}"

    def check(self, shots: int | None) -> None:
        if shots is None:
            if self.needs_shots:
                raise DeviceError(f"device {self.name} needs a number of shots of at least 1; got none")
        elif self.needs_shots is False:
            raise DeviceError(f"device {self.name} gives exact probabilities and takes no shots; use the device shots")
        elif shots < 1:
            raise DeviceError(f"device {self.name} needs at least 1 shot, got {shots}; give a larger number of shots")

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        self.check(shots)
        values = np.empty((len(circuits), 2**circuits.qubits))
        circuits_at_a_time = max(1, NUMBERS_AT_A_TIME // self.numbers(circuits.qubits))
        for first in range(0, len(circuits), circuits_at_a_time):
            batch = slice(first, first + circuits_at_a_time)
            values[batch] = self.probabilities(circuits.pick(batch))
        if shots is not None:
            values = sample(values, shots, self._sampling_keys(circuits), self._seed)
        return Frequencies(values, shots)

    def _sampling_keys(self, circuits: BoundCircuits) -> list[str]:
        """Return the keys by which shots are drawn: two families draw differently, as two chips would."""
        keys = circuits.keys()
        if self.target:
            keys = [f"{self.name} {key}" for key in keys]
        return keys

    @abstractmethod
    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        """Return the probability of every reported outcome, shape (circuits, 2^n), qubit 0 first."""

    def numbers(self, qubits: int) -> int:
        """Return about how many numbers a circuit takes in memory while it runs."""
        return 2**qubits


class ShotsDevice(Simulator):
    """Outcomes sampled from the exact probabilities: shot noise only."""

    needs_shots = True

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        from qweft.devices.probabilities import exact_probabilities

        return exact_probabilities(circuits)


class ExactDevice(ShotsDevice):
    """Exact probabilities from the state vector, without shots or noise."""

    needs_shots = False

    def identity(self) -> str:
        return self.name


class NoisyDevice(Simulator):
    """Runs native gates with an error after each, and readout errors; exactly or with shots."""

    limits = Limits(qubits=MOST_QUBITS)

    def __init__(self, name: str, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        self.noise: NoiseModel = noise_model(settings.noise).scale_errors(settings.noise_scale)

    def identity(self) -> str:
        return f"{self.name} {self.noise.identity()} seed {self._seed}"

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        from qweft.devices.probabilities import noisy_probabilities

        return noisy_probabilities(circuits, self.noise)
