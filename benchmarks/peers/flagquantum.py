"""FlagQuantum: a batched state vector, one angle for each token where it is data."""

import flagquantum as fq
import numpy as np
import torch
from benchmarks.peers.rows import rows_of
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))
    rows, kind = rows_of(circuit, qubits, layers), signs.dtype.to_complex()

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        made = fq.Circuit(qubits, bsz=len(inputs), dtype=kind)
        for gate, wires, source, index in rows:
            if source is None:
                made.cx(*wires)
            else:
                getattr(made, gate)(*wires, inputs[:, index] if source == "x" else angles[index])
        state = made.state().reshape(len(inputs), -1)
        return (state.real.square() + state.imag.square()) @ signs

    return forward_backward(function, x, t, w)
