"""PennyLane: lightning.qubit (C++), torch interface, adjoint differentiation.

The device takes one token after the other, also where the circuit is broadcast, so a timed run takes few of them.

What lost, in CPU milliseconds for 16 tokens at n = 4, 6, 8 (L = n, float32):

     55  128  219    what is here
     80  165  294    a loop over the tokens in Python
    103  235  388    the device's own vector-Jacobian product (device_vjp=True)
"""

from typing import Any

import numpy as np
import pennylane as qml
import torch
from benchmarks.peers.pennylane_layer import apply
from benchmarks.peers.rows import rows_of
from benchmarks.peers.torch_gradients import Run, forward_backward

TIMED_TOKENS = 8


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    dtype = torch.from_numpy(x).dtype
    torch.set_default_dtype(dtype)  # the type in which its torch interface hands on the device's numbers
    c_dtype = np.complex64 if x.dtype == np.float32 else np.complex128
    rows = rows_of(circuit, qubits, layers)
    device = qml.device("lightning.qubit", wires=qubits, c_dtype=c_dtype)

    @qml.qnode(device, interface="torch", diff_method="adjoint")
    def expectations(inputs: torch.Tensor, angles: torch.Tensor) -> Any:
        apply(rows, inputs, angles)
        return [qml.expval(qml.PauliZ(i)) for i in range(qubits)]

    return forward_backward(lambda inputs, angles: torch.stack(expectations(inputs, angles), 1).to(dtype), x, t, w)
