"""The `noisy` device: circuits under a noise model, exactly or with shots."""

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceSettings, Limits, Simulator
from qweft.devices.noise.model import MOST_QUBITS, NoiseModel, noise_model
from qweft.devices.noise.native import native_gates


class NoisyDevice(Simulator):
    """Runs native gates with an error after each, and readout errors."""

    limits = Limits(qubits=MOST_QUBITS)

    def __init__(self, name: str, target: str, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        self.model = self._noise = noise_model(settings.noise).scaled(settings.noise_scale)

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        """Return the probability of every reported outcome."""
        return probabilities(circuits, self.model)


def probabilities(circuits: BoundCircuits, model: NoiseModel) -> np.ndarray:
    """Return the probability of every reported outcome in float64, shape (circuits, 2^n)."""
    import torch

    from qweft.devices.noise.paulis import read_probabilities, simulate

    angles = torch.from_numpy(np.ascontiguousarray(circuits.angles.T))
    shared = (angles == angles[:, :1]).all(1) if len(circuits) else [True] * len(angles)
    columns = [angle[0] if same and len(circuits) else angle for angle, same in zip(angles, shared, strict=True)]
    gates = native_gates(circuits.gates, circuits.barriers)
    with torch.no_grad():
        read = read_probabilities(circuits.qubits, model)
        found = simulate(circuits.qubits, gates, columns, len(circuits), model, read)
    return found.t().contiguous().numpy()
