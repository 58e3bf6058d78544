"""Probabilities of outcomes by our own engines, exact and under a noise model."""

import numpy as np
import torch

from qweft.circuit import final_states
from qweft.devices.bound import BoundCircuits
from qweft.devices.noise.model import NoiseModel
from qweft.devices.noise.native import native_gates
from qweft.devices.noise.paulis import read_probabilities, simulate


def exact_probabilities(circuits: BoundCircuits) -> np.ndarray:
    """Return the probability of every outcome in float64, shape (circuits, 2^n)."""
    angles = torch.from_numpy(circuits.angles)
    no_parameters = torch.zeros(0, dtype=torch.float64)
    return final_states(circuits.template(), angles, no_parameters).abs().square().numpy()


def noisy_probabilities(circuits: BoundCircuits, model: NoiseModel) -> np.ndarray:
    """Return the probability of every reported outcome in float64, shape (circuits, 2^n)."""
    # an angle that all circuits share becomes a scalar: its gates are then simulated once for all of them
    angles = []
    for column in torch.from_numpy(np.ascontiguousarray(circuits.angles.T)):
        is_shared = bool((column == column[0]).all())
        angles.append(column[0] if is_shared else column)
    gates = native_gates(circuits.gates, circuits.barriers)
    with torch.no_grad():
        read = read_probabilities(circuits.qubits, model)
        probabilities = simulate(circuits.qubits, gates, angles, len(circuits), model, read)
    return probabilities.t().contiguous().numpy()
