"""Expectation values of a circuit for many tokens, measured on a device."""

import numpy as np
import torch

from qweft.circuit import Circuit
from qweft.devices.bound import BoundCircuits
from qweft.devices.mitigation.estimate import AsMeasured, Mitigation
from qweft.devices.runner import Runner


class Measurer:
    """Stands in the place of the exact engine: the same arguments, measured values.

    Args:
        runner: Device or executor.
        shots: Measurements of each circuit; none for exact probabilities.
        mitigation: What is done about errors.
    """

    def __init__(self, runner: Runner, shots: int | None = None, mitigation: Mitigation | None = None) -> None:
        self.runner = runner
        self.shots = shots
        self.mitigation = mitigation or AsMeasured()

    def __call__(self, circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """z_i for every token, each different circuit measured once.

        Args:
            circuit: The circuit.
            inputs: (..., circuit.inputs), in radians.
            parameters: (circuit.parameters,), in radians.

        Returns:
            (..., n) in the type and on the device of the inputs; no gradients.
        """
        values = self.expectations(BoundCircuits.of(circuit, inputs.reshape(-1, circuit.inputs), parameters))
        return torch.from_numpy(values).to(inputs).reshape(*inputs.shape[:-1], circuit.qubits)

    def expectations(self, circuits: BoundCircuits) -> np.ndarray:
        """(circuits, n): z_i of each, equal circuits measured once."""
        once, places = circuits.unique()
        return self.mitigation.expectations(self.runner, once, self.shots)[places]
