"""TorchQuantum-NG (the living fork of TorchQuantum): its functional gates on a device with all tokens as the batch.

Its states are complex64 by a constant of the package, so there is no float64.

What lost, in CPU milliseconds at n = 4, 6, 8 (L = n, 512 tokens):

    19   76  273    what is here
    20   77  279    its MeasureAll in place of the states' probabilities
    21  102  279    its default product of gate and state (bmm)
"""

import numpy as np
import torch
import torchquantum as tq
from benchmarks.peers.rows import rows_of
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        device = tq.QuantumDevice(n_wires=qubits, bsz=len(inputs))
        for gate, wires, source, index in rows_of(circuit, qubits, layers):
            if source is None:
                device.cnot(wires=list(wires), comp_method="einsum")
            else:
                angle = inputs[:, index] if source == "x" else angles[index]
                getattr(device, gate)(wires=list(wires), params=angle, comp_method="einsum")
        states = device.get_states_1d()
        return (states.real**2 + states.imag**2) @ signs

    return forward_backward(function, x, t, w)
