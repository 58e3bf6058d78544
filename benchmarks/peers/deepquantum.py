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
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs


def build(qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))
    circuit = dq.QubitCircuit(qubits)
    for _ in range(layers):
        circuit.rylayer(encode=True)
        for hop in (1, 0, -1, 0):
            if hop:
                for i in range(qubits):
                    circuit.crz(i, (i + hop) % qubits, encode=True)
            else:
                circuit.rylayer(encode=True)
    circuit.to(signs.dtype)

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        tokens = len(inputs)
        uploads = inputs[:, None].expand(tokens, layers, qubits)
        trained = angles.reshape(1, layers, 4 * qubits).expand(tokens, -1, -1)
        state = circuit(torch.cat([uploads, trained], 2).flatten(1)).reshape(tokens, -1)
        return (state.real**2 + state.imag**2) @ signs

    return forward_backward(function, x, t, w)
