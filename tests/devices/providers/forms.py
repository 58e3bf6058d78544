"""Circuits as trained ones are, lopsided on purpose: no qubit can stand for another."""

import torch

from qweft.circuit import crz_ring_ansatz
from qweft.devices import BoundCircuits


def circuits(count: int = 8, qubits: int = 3, layers: int = 2, reupload: bool = True, seed: int = 0) -> BoundCircuits:
    """Circuits of many tokens: inputs of order one, angles of a trained adapter's spread."""
    generator = torch.Generator().manual_seed(seed)
    circuit = crz_ring_ansatz(qubits, layers, reupload)
    inputs = 0.8 * torch.randn(count, qubits, dtype=torch.float64, generator=generator)
    inputs += torch.linspace(0.2, 1.4, qubits, dtype=torch.float64)
    angles = 1.8 * torch.randn(circuit.parameters, dtype=torch.float64, generator=generator)
    return BoundCircuits.of(circuit, inputs, angles)
