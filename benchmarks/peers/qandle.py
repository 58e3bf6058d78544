"""QANDLE: named inputs, its matrices of all qubits; probabilities of 0 on each qubit."""

import numpy as np
import qandle
import torch
from benchmarks.peers.rows import rows_of
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs

GATES = {"ry": qandle.RY, "rz": qandle.RZ}


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))
    gates = []
    for gate, wires, source, index in rows_of(circuit, qubits, layers):
        if source is None:
            gates.append(qandle.CNOT(control=wires[0], target=wires[1]))
            continue
        name = f"{source}{index}"
        if gate == "crz":
            gates.append(qandle.Controlled(control=wires[0], target=qandle.RZ(qubit=wires[1], name=name)))
        else:
            gates.append(GATES[gate](qubit=wires[0], name=name))
    made = qandle.Circuit(layers=gates, num_qubits=qubits)
    start = torch.zeros(len(x), 2**qubits, dtype=torch.complex64)
    start[:, 0] = 1

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        named = {f"x{i}": column for i, column in enumerate(inputs.unbind(1))}
        named |= {f"t{i}": angle for i, angle in enumerate(angles.unbind())}
        state = made(start, **named)
        return (state.real.square() + state.imag.square()) @ signs

    return forward_backward(function, x, t, w)
