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
from benchmarks.peers.rows import rows_of
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs

GATES = {"ry": pyq.RY, "rz": pyq.RZ, "crz": pyq.CRZ, "cnot": pyq.CNOT}


def operations(circuit: str, qubits: int, layers: int) -> list[torch.nn.Module]:
    return [
        GATES[gate](*wires, *(() if source is None else (f"{source}{index}",)))
        for gate, wires, source, index in rows_of(circuit, qubits, layers)
    ]


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))
    made = pyq.QuantumCircuit(qubits, operations(circuit, qubits, layers)).to(dtype=signs.dtype.to_complex())

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        values = {f"x{i}": column for i, column in enumerate(inputs.unbind(1))}
        values.update((f"t{k}", angle) for k, angle in enumerate(angles.split(1)))
        state = pyq.run(made, made.init_state(), values)
        probabilities = state.real**2 + state.imag**2
        return probabilities.reshape(2**qubits, -1).T @ signs

    return forward_backward(function, x, t, w)
