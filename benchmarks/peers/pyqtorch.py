"""PyQTorch: named parameters, the tokens as the batch (its last axis), autograd.

What lost, in CPU milliseconds at n = 4, 6, 8 (L = n, 512 tokens, float32):

    30   93  367    what is here
    31   97  388    an Observable for each qubit in place of the state's probabilities
    53  144  661    its adjoint differentiation of one observable weighted by w, which leaves the values out; and its
                    gradients of this circuit are not those that its autograd gives
"""

import numpy as np
import pyqtorch as pyq
import torch
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs


def operations(qubits: int, layers: int) -> list[torch.nn.Module]:
    gates: list[torch.nn.Module] = []
    count = 0
    for _ in range(layers):
        gates.extend(pyq.RY(i, f"x{i}") for i in range(qubits))
        for hop in (1, 0, -1, 0):
            for i in range(qubits):
                name = f"t{count}"
                gates.append(pyq.CRZ(i, (i + hop) % qubits, name) if hop else pyq.RY(i, name))
                count += 1
    return gates


def build(qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))
    circuit = pyq.QuantumCircuit(qubits, operations(qubits, layers)).to(dtype=signs.dtype.to_complex())

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        values = {f"x{i}": column for i, column in enumerate(inputs.unbind(1))}
        values.update((f"t{k}", angle) for k, angle in enumerate(angles.split(1)))
        state = pyq.run(circuit, circuit.init_state(), values)
        probabilities = state.real**2 + state.imag**2
        return probabilities.reshape(2**qubits, -1).T @ signs

    return forward_backward(function, x, t, w)
