"""The plain way in torch, one gate after the other: what a package has to beat to be worth its install."""

import numpy as np
from benchmarks.peers.torch_gradients import Run, forward_backward

from qweft.circuit import crz_ring_ansatz
from qweft.circuit import gate_by_gate as plain


def build(qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    circuit = crz_ring_ansatz(qubits, layers)
    return forward_backward(lambda inputs, angles: plain(circuit, inputs, angles), x, t, w)
