"""fastQML: layers fused by tensor products, disjoint pairs by edge colouring, the tokens' gates one after the other."""

from itertools import groupby

import numpy as np
import torch
from benchmarks.peers.rows import rows_of
from benchmarks.peers.torch_gradients import Run, forward_backward
from benchmarks.peers.z_signs import z_signs
from fastqml import gate_fusion as fusion


def build(circuit: str, qubits: int, layers: int, x: np.ndarray, t: np.ndarray, w: np.ndarray) -> Run:
    signs = torch.from_numpy(z_signs(qubits, x.dtype))
    cpu, real = torch.device("cpu"), signs.dtype
    blocks = [
        (key, list(rows)) for key, rows in groupby(rows_of(circuit, qubits, layers), lambda row: (row[0], row[2]))
    ]
    walls = []  # a wall of rotations has one angle for each qubit
    for (gate, source), rows in blocks:
        step = qubits if gate in ("ry", "rz") else len(rows)
        walls += [(gate, source, rows[first : first + step]) for first in range(0, len(rows), step)]
    turn = {"ry": fusion.build_ry_gates, "rz": fusion.build_rz_gates}
    commute = {"crz": fusion.diagonal_commute, "cnot": lambda a, b: a[0] != b[1] and a[1] != b[0]}
    start = torch.zeros(len(x), *[2] * qubits, dtype=real)
    start.reshape(len(x), -1)[:, 0] = 1

    def function(inputs: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        re, im = start, torch.zeros_like(start)
        per_token = fusion.build_ry_per_batch(inputs)
        for gate, source, rows in walls:
            places = [index for _, _, _, index in rows]
            if source == "x":
                re, im = fusion.apply_per_batch_su2_chain(re, im, *per_token)
            elif gate in turn:
                re, im = fusion.apply_su2_layer(re, im, *turn[gate](angles[places[0] : places[-1] + 1]))
            else:
                edges = [wires for _, wires, _, _ in rows]
                for plan in fusion.compute_two_qubit_plans(edges, qubits, cpu, real, commute[gate]):
                    if gate == "crz":
                        pairs = fusion.build_crz_4x4(angles[places[0] : places[-1] + 1][plan["k_idx"]])
                    else:
                        pairs = fusion.build_cnot_4x4(plan["n_pairs"], cpu, real)
                    re, im = fusion.apply_disjoint_two_qubit_layer(re, im, plan, *pairs)
        return (re.square() + im.square()).reshape(len(inputs), -1) @ signs

    return forward_backward(function, x, t, w)
