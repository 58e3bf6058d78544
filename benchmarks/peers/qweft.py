"""This project's engine."""

import numpy as np
from benchmarks.peers.torch_gradients import Run, forward_backward

from qweft.circuit import crz_ring_ansatz, expectation_values, hardware_efficient_ansatz

MADE = {"recorded": crz_ring_ansatz, "hardware-efficient": hardware_efficient_ansatz}


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    made = MADE[circuit](qubits, layers)
    return forward_backward(lambda inputs, angles: expectation_values(made, inputs, angles), x, t, w)
