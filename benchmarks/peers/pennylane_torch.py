"""PennyLane: default.qubit, torch interface, backprop through one broadcast execution for all tokens.

What lost, in CPU milliseconds at n = 4, 6, 8 (L = n, 512 tokens, float32):

    20   77  279    what is here
    22   80  288    n expvals in place of probabilities
    23   95  425    without the start state: the device's own is complex128, and float32 angles then compute in double
    25  109  306    torch.func.vmap over the tokens in place of broadcasting
"""

from typing import Any

import numpy as np
import pennylane as qml
import torch
from benchmarks.peers.pennylane_layer import apply
from benchmarks.peers.rows import rows_of
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))
    rows = rows_of(circuit, qubits, layers)
    start = torch.zeros(2**qubits, dtype=signs.dtype.to_complex())
    start[0] = 1

    @qml.qnode(qml.device("default.qubit", wires=qubits), interface="torch", diff_method="backprop")
    def probabilities(inputs: torch.Tensor, angles: torch.Tensor) -> Any:
        qml.StatePrep(start, wires=range(qubits), validate_norm=False)
        apply(rows, inputs, angles)
        return qml.probs(wires=range(qubits))

    return forward_backward(lambda inputs, angles: probabilities(inputs, angles) @ signs, x, t, w)
