"""The plain way in torch, one gate after the other: what a package has to beat to be worth its install."""

import numpy as np
from benchmarks.peers.qweft import MADE
from benchmarks.peers.torch_gradients import Run, forward_backward

from qweft.circuit import gate_by_gate as plain


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    made = MADE[circuit](qubits, layers)
    return forward_backward(lambda inputs, angles: plain(made, inputs, angles), x, t, w)
