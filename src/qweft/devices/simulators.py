"""Noiseless simulators: exact probabilities, and sampled shots."""

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, DeviceError, DeviceSettings, Simulator
from qweft.devices.outcomes import Frequencies

AMPLITUDES_AT_A_TIME = 2**22
"""Amplitudes per batch: 64 MiB in complex128."""


def probabilities(circuits: BoundCircuits) -> np.ndarray:
    """Return |amplitude|^2 of every outcome in float64, shape (circuits, 2^n)."""
    import torch

    from qweft.circuit import final_states

    template = circuits.template()
    at_a_time = max(1, AMPLITUDES_AT_A_TIME >> circuits.qubits)
    none = torch.zeros(0, dtype=torch.float64)
    found = np.empty((len(circuits), 2**circuits.qubits))
    for first in range(0, len(circuits), at_a_time):
        angles = torch.from_numpy(circuits.angles[first : first + at_a_time])
        found[first : first + at_a_time] = final_states(template, angles, none).abs().square().numpy()
    return found


class ExactDevice(Device):
    """Exact probabilities from the state vector, without shots or noise."""

    keeps_results = False

    def __init__(self, name: str, target: str, settings: DeviceSettings) -> None:
        super().__init__(name)

    def check(self, shots: int | None) -> None:
        """Check that no shots are given."""
        if shots is not None:
            raise DeviceError(f"device {self.name} has no shots, got {shots}; use device shots, or leave them out")

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Return the exact probabilities."""
        return Frequencies(probabilities(circuits), None)


class ShotsDevice(Simulator):
    """Outcomes sampled from the exact probabilities: shot noise only."""

    def __init__(self, name: str, target: str, settings: DeviceSettings) -> None:
        super().__init__(name, settings)

    def check(self, shots: int | None) -> None:
        """Check that a number of shots is given."""
        if shots is None or shots < 1:
            raise DeviceError(
                f"device {self.name} needs a number of shots of at least 1, got {shots}; or use device exact"
            )

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        """Return the exact probabilities."""
        return probabilities(circuits)
