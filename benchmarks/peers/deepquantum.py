"""DeepQuantum: all angles encoded as data, which the circuit maps itself over (vmap).

What lost, in CPU milliseconds at n = 4, 6, 8, 9, 10 (L = n, 512 tokens, float32):

    32  118  386  1118  2153    what is here
    34  130  407  1145  2401    its expectation() in place of the state's probabilities
    25  110  459  1101  2554    the trained angles as parameters of its gates: less at few qubits
    27  114  472  1127  2725    both
"""

import deepquantum as dq
import numpy as np
import torch
from benchmarks.peers.rows import rows_of
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))
    made = dq.QubitCircuit(qubits)
    rows = rows_of(circuit, qubits, layers)
    for gate, wires, source, _ in rows:
        getattr(made, gate)(*wires, **({} if source is None else {"encode": True}))
    made.to(signs.dtype)
    # the place of each encoded angle among a token's data and the trained angles
    places = torch.tensor([index + (qubits if source == "t" else 0) for _, _, source, index in rows if source])

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        tokens = len(inputs)
        data = torch.cat([inputs, angles.expand(tokens, -1)], 1)[:, places]
        state = made(data).reshape(tokens, -1)
        return (state.real**2 + state.imag**2) @ signs

    return forward_backward(function, x, t, w)
