"""The form of the fast engines, psi = R_k D_k R_(k-1) ... D_1 R_0 |0...0>: RY rotations R, diagonals D of phases.

Exact: RYs in a row on a qubit add, CRZs commute to one diagonal, and one at the beginning or the end changes no value.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.gates import GATES
from qweft.circuit.precision import constant, exact_products
from qweft.internals.torch import for_later_calls, is_transformed


@dataclass(frozen=True)
class Alternating:
    """A circuit as k + 1 rotation blocks and the k diagonals between them, over p wire pairs."""

    qubits: int
    uploads: tuple[bool, ...]  # of each rotation block: whether the inputs are added to its angles
    repeats: int  # uploads in a row in a block, a factor of the inputs; in `crz_ring_ansatz` 1 but for one qubit
    selection: torch.Tensor  # ((k + 1) n + k p, parameters): of rotations by block, then of pairs by diagonal
    pair_phases: torch.Tensor  # (p, 2^n): of each basis state for a unit angle; CRZ gives |1 0> -1/2 and |1 1> +1/2

    @property
    def diagonals(self) -> int:
        """Number of diagonals, k."""
        return len(self.uploads) - 1

    def uploaded(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what an upload adds to each qubit's angle, (..., n)."""
        return inputs if self.repeats == 1 else inputs * self.repeats

    def angles(self, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rotations (..., k + 1, n) and diagonals (..., k, 2^n) in radians of parameters (..., parameters)."""
        if torch.compiler.is_compiling() or is_transformed():
            return self.plain_angles(parameters)
        rotations, diagonals = _Angles.apply(self, parameters)
        return rotations, diagonals

    def plain_angles(self, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `angles` by plain operations."""
        chosen = parameters @ constant(self.selection, parameters).t()
        count, pairs = len(self.uploads) * self.qubits, self.pair_phases.shape[0]
        rotations = chosen[..., :count].unflatten(-1, (len(self.uploads), self.qubits))
        turns = chosen[..., count:].unflatten(-1, (self.diagonals, pairs)) @ constant(self.pair_phases, parameters)
        return rotations, turns

    def to_parameters(self, rotations: torch.Tensor, diagonals: torch.Tensor) -> torch.Tensor:
        """Return the transpose of `plain_angles`: from gradients of angles to the gradient of the parameters."""
        pairs = diagonals @ constant(self.pair_phases, diagonals).t()
        flat = [each.reshape(*each.shape[:-2], -1) for each in (rotations, pairs)]  # batched gradients have no flatten
        return torch.cat(flat, -1) @ constant(self.selection, diagonals)


class _Angles(torch.autograd.Function):
    """`Alternating.plain_angles` as one node of the graph instead of ten."""

    @staticmethod
    def forward(ctx: Any, form: Alternating, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.form = form
        return form.plain_angles(parameters)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        with exact_products(gradients[0].device):
            return None, ctx.form.to_parameters(*gradients)


@lru_cache(maxsize=16)
@for_later_calls()
def basis_signs(qubits: int) -> torch.Tensor:
    """Return (2^n, n): +1 where the qubit's bit is 0, -1 where it is 1; qubit 0 is the most significant bit."""
    index = torch.arange(2**qubits, device="cpu")[:, None]  # whatever the default device is
    shift = torch.arange(qubits - 1, -1, -1, device="cpu")[None, :]
    return (1 - 2 * ((index >> shift) & 1)).to(torch.float64)


@lru_cache(maxsize=64)
def alternating_form(circuit: Circuit) -> Alternating | None:
    """Return the circuit in this form, or `None`: other gates or outputs, or uploads but RY of input i on qubit i."""
    if circuit.inputs != circuit.qubits or circuit.amplitudes or circuit.measured != "Z":
        return None
    for gate in circuit.gates:
        is_crossed = gate.source == "input" and gate.wires != (gate.index,)
        if GATES[gate.name].block is None or gate.source == "constant" or gate.scale != 1 or is_crossed:
            return None
    with for_later_calls():
        return _form_of(circuit)


def _form_of(circuit: Circuit) -> Alternating | None:
    rotations, diagonals, between = list[list[Gate]](), list[list[Gate]](), list[Gate]()
    for kind, run in groupby(circuit.gates, lambda gate: GATES[gate.name].block):
        if kind == "diagonal":
            between = list(run)
            continue
        if rotations:
            diagonals.append(between)
        rotations.append(list(run))
    rotations = rotations or [[]]
    uploads = [Counter(gate.index for gate in gates if gate.source == "input") for gates in rotations]
    repeats = {counts[wire] for counts in uploads if counts for wire in range(circuit.qubits)} or {1}
    if len(repeats) > 1 or 0 in repeats:
        return None
    pairs = sorted({gate.wires for gates in diagonals for gate in gates})
    count = len(rotations) * circuit.qubits
    selection = torch.zeros(count + len(diagonals) * len(pairs), circuit.parameters, dtype=torch.float64, device="cpu")
    for block, gates in enumerate(rotations):
        for gate in gates:
            if gate.source == "parameter":
                selection[block * circuit.qubits + gate.wires[0], gate.index] += 1
    for block, gates in enumerate(diagonals):
        for gate in gates:
            selection[count + block * len(pairs) + pairs.index(gate.wires), gate.index] += 1
    signs = basis_signs(circuit.qubits)
    phases = torch.zeros(len(pairs), 2**circuit.qubits, dtype=torch.float64, device="cpu")
    for row, (control, target) in enumerate(pairs):
        phases[row] = (1 - signs[:, control]) / 2 * -signs[:, target] / 2
    return Alternating(circuit.qubits, tuple(map(bool, uploads)), repeats.pop(), selection, phases)
