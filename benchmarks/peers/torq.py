"""TorQ: its data re-uploading for the tokens' walls, its full matrices for what all tokens share."""

import numpy as np
import torch
from benchmarks.peers.rows import Row, end_of, layer_of
from benchmarks.peers.torch_gradients import Run, forward_backward
from torq import Controls, Measure, Ops, Rotations, Templates


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    real = torch.from_numpy(x).dtype
    kind, device = real.to_complex(), torch.device("cpu")
    start = Templates.get_initial_state(qubits, len(x), dtype=kind, device=device).reshape(len(x), -1)
    turn = {"ry": Rotations.get_ry, "rz": Rotations.get_rz}
    cnots = [
        Controls.get_cnot_ops(qubits, *places, dtype=kind, device=device)
        for gate, places, _, _ in layer_of(circuit, qubits)
        if gate == "cnot"
    ]
    ring = Ops.multi_dim_matmul_reversed(*cnots) if cnots else None

    def shared(rows: list[Row], angles: torch.Tensor) -> torch.Tensor:
        """The matrix of the rows without data: walls of rotations by tensor products, controlled ones by theirs."""
        matrices: list[torch.Tensor] = []
        wall: list[torch.Tensor] = []
        for gate, places, _, index in rows:
            if gate in turn:
                wall.append(turn[gate](angles[index : index + 1]).to(kind).squeeze(0))
                if len(wall) == qubits:
                    matrices.append(Ops.multi_dim_tensor_product(*wall))
                    wall = []
            elif gate == "crz":
                phi, sigma = angles[index : index + 1], Rotations.get_rz
                given = {"phi": phi, "sigma": sigma, "dtype": kind, "device": device}
                matrices.append(Controls.get_single_two_qubit_gate(qubits, *places, **given))
        if ring is not None and len(rows) > qubits:
            matrices.append(ring)
        return Ops.multi_dim_matmul_reversed(*matrices) if len(matrices) > 1 else matrices[0]

    rows = [row for row in layer_of(circuit, qubits) if row[2] != "x"]
    end = end_of(circuit, qubits)
    per_layer = sum(row[2] == "t" for row in rows)

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        gates = Rotations.get_ry(inputs.reshape(-1)).to(kind).reshape(len(inputs), qubits, 2, 2)
        state = start
        for layer in range(layers):
            state = Templates.data_reuploading(state.clone(), gates).reshape(len(inputs), -1)
            state = Ops.apply_matrix(state, shared(rows, angles[layer * per_layer : (layer + 1) * per_layer]))
        if end:
            state = Ops.apply_matrix(state, shared(end, angles[layers * per_layer :]))
        return Measure.measure_local_Z(state)

    return forward_backward(function, x, t, w)
