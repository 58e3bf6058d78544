"""TensorCircuit-NG: torch backend, vmap over the tokens.

What lost, in CPU milliseconds at n = 4, 6, 8 (L = n, 512 tokens, float32):

    25  84  182    what is here
    27  87  215    n calls of expectation_ps in place of the state's probabilities
    31             torch.compile (the backend's jit), of which the eager path took 30 in the same conditions
"""

import numpy as np
import tensorcircuit as tc
import torch
from benchmarks.peers.rows import rows_of
from benchmarks.peers.tensorcircuit_layer import apply, use
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    backend = use("pytorch", x.dtype)
    signs = torch.from_numpy(z_signs(qubits, x.dtype))

    rows = rows_of(circuit, qubits, layers)

    def one_token(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        made = tc.Circuit(qubits)
        apply(made, rows, inputs, angles)
        state = made.state()
        return (backend.real(state) ** 2 + backend.imag(state) ** 2) @ signs

    return forward_backward(backend.vmap(one_token, vectorized_argnums=0), x, t, w)
