"""This project's engine."""

import numpy as np
from benchmarks.peers.torch_gradients import Run, forward_backward

from qweft.circuit import crz_ring_ansatz, expectation_values


def build(qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    circuit = crz_ring_ansatz(qubits, layers)
    return forward_backward(lambda inputs, angles: expectation_values(circuit, inputs, angles), x, t, w)
