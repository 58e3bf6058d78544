"""Simulators: our own `exact`, `shots` and `noisy`, and the base class of those of other packages."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, DeviceError, DeviceSettings, Limits
from qweft.devices.noise.model import MOST_QUBITS, NoiseModel, noise_model
from qweft.devices.noise.native import native_gates
from qweft.devices.outcomes import Frequencies, sample

NUMBERS_AT_A_TIME = 2**22
"""Numbers per batch: 64 MiB in complex128."""


class Simulator(Device, ABC):
    """Computes probabilities, and samples from them if shots are given; equal circuits give equal frequencies."""

    keeps_results = False
    may_bill = False
    needs_shots: ClassVar[bool | None] = None
    """Whether shots must be given; `None` if they are optional."""

    def __init__(self, name: str, settings: DeviceSettings) -> None:
        super().__init__(name)
        self._seed = settings.seed

    def identity(self) -> str:
        return f"{self.name} seed {self._seed}"

    def check(self, shots: int | None) -> None:
        if self.needs_shots if shots is None else shots < 1 or self.needs_shots is False:
            raise DeviceError(
                f"device {self.name} cannot run with {shots or 'no'} shots; exact takes none, shots a number of shots"
            )

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        self.check(shots)
        values = np.empty((len(circuits), 2**circuits.qubits))
        at_a_time = max(1, NUMBERS_AT_A_TIME // self.numbers(circuits.qubits))
        for first in range(0, len(circuits), at_a_time):
            some = slice(first, first + at_a_time)
            values[some] = self.probabilities(circuits.pick(some))
        if shots is not None:
            keys, own = circuits.keys(), f"{self.name} " if self.target else ""  # those of families differ, as chips do
            values = sample(values, shots, [own + key for key in keys], self._seed)
        return Frequencies(values, shots)

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
        import torch

        from qweft.circuit import final_states

        none = torch.zeros(0, dtype=torch.float64)
        return final_states(circuits.template(), torch.from_numpy(circuits.angles), none).abs().square().numpy()


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
        self.noise: NoiseModel = noise_model(settings.noise).scaled(settings.noise_scale)

    def identity(self) -> str:
        return f"{self.name} {self.noise.identity()} seed {self._seed}"

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        return noisy_probabilities(circuits, self.noise)


def noisy_probabilities(circuits: BoundCircuits, model: NoiseModel) -> np.ndarray:
    """Return the probability of every reported outcome in float64, shape (circuits, 2^n)."""
    import torch

    from qweft.devices.noise.paulis import read_probabilities, simulate

    angles = torch.from_numpy(np.ascontiguousarray(circuits.angles.T))
    # an angle that all circuits share is simulated once
    columns = [angle[0] if bool((angle == angle[0]).all()) else angle for angle in angles]
    gates = native_gates(circuits.gates, circuits.barriers)
    with torch.no_grad():
        read = read_probabilities(circuits.qubits, model)
        return simulate(circuits.qubits, gates, columns, len(circuits), model, read).t().contiguous().numpy()
