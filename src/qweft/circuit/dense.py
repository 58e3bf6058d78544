"""The engine in PyTorch's operations, where no kernel runs: rotations as phases in the eigenbasis of Y."""

from functools import lru_cache

import torch

from qweft.circuit.alternating import basis_signs
from qweft.circuit.precision import constant, exact_products
from qweft.internals.torch import for_later_calls

CHUNK = 2**16
"""Amplitudes per chunk of tokens on a CPU: 512 KiB of complex64."""

Halves = tuple[torch.Tensor, torch.Tensor]
"""A matrix on the register as a product of one on its first half and one on its second half."""


@lru_cache(maxsize=16)
@for_later_calls()
def eigenbasis(qubits: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return W of n qubits, (2^n, 2^n): its columns are the eigenvectors of Y on every qubit."""
    one = torch.tensor([[1, 1], [1j, -1j]], dtype=torch.complex128, device="cpu") / 2**0.5
    matrix = torch.ones(1, 1, dtype=torch.complex128, device="cpu")
    for _ in range(qubits):
        matrix = torch.kron(matrix, one)
    return matrix.to(device=device, dtype=dtype)


def _turns(angles: torch.Tensor) -> torch.Tensor:
    """Return the phases exp(-+i angle / 2), (n, 2, tokens), for angles (n, tokens)."""
    half = angles / 2
    up = torch.complex(half.cos(), half.sin())
    return torch.stack([up.conj().resolve_conj(), up], 1)


def _apply(halves: Halves, state: torch.Tensor) -> torch.Tensor:
    """Return (A (x) B) psi for psi (2^n, tokens)."""
    left, right = halves
    rows, columns = left.shape[0], right.shape[0]
    turned = left @ state.reshape(rows, -1)
    return torch.bmm(right.expand(rows, columns, columns), turned.view(rows, columns, -1)).view(state.shape)


class _Circuit:
    """The blocks of one call, and passes through them."""

    def __init__(self, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]):
        n = rotations.shape[1]
        self.rotations, self.uploads = rotations, uploads
        kind = torch.complex128 if rotations.dtype == torch.float64 else torch.complex64
        self.phases = torch.complex(diagonals.cos(), diagonals.sin())[..., None]
        left, right = (eigenbasis(size, kind, rotations.device) for size in (n // 2, n - n // 2))
        self.into_z: Halves = left, right
        self.into_y: Halves = left.mH.resolve_conj(), right.mH.resolve_conj()
        self.signs = constant(basis_signs(n), rotations)

    def rotation(self, inputs: torch.Tensor, block: int) -> torch.Tensor:
        """Return exp(-i/2 sum_q s_q (t_q + x_q)), (2^n, tokens), for inputs x (n, tokens); without x (2^n, 1).

        The phases are multiplied rather than the angles added: a sum would round a small trained angle on a large
        input.
        """
        turns = _turns(self.rotations[block, :, None])
        turns = turns * _turns(inputs) if self.uploads[block] else turns
        phases = turns[0]
        for qubit in range(1, len(turns)):
            phases = (phases[:, None] * turns[qubit][None]).flatten(0, 1)
        return phases

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the final state, (2^n, tokens), for inputs (n, tokens)."""
        state = torch.zeros(len(self.signs), inputs.shape[1], dtype=self.phases.dtype, device=inputs.device)
        state[0] = 1
        for block in range(len(self.uploads)):
            if block:
                state = self.phases[block - 1] * state
            state = _apply(self.into_z, self.rotation(inputs, block) * _apply(self.into_y, state))
        return state


def values_of(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations (tokens, n) without a graph, chunk by chunk of tokens."""
    values = torch.empty_like(inputs, memory_format=torch.contiguous_format)
    with exact_products(inputs.device):
        circuit = _Circuit(rotations, diagonals, uploads)
        for part in _chunks(inputs):
            state = circuit.run(inputs[part].t())
            values[part] = torch.view_as_real(state).square().sum(-1).t() @ circuit.signs
    return values


def gradients_of(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n)."""
    to_inputs = torch.zeros_like(inputs, memory_format=torch.contiguous_format)
    to_rotations, to_diagonals = torch.zeros_like(rotations), torch.zeros_like(diagonals)
    with exact_products(inputs.device):
        circuit = _Circuit(rotations, diagonals, uploads)
        for part in _chunks(inputs):
            columns = inputs[part].t()
            state = circuit.run(columns)
            outer = 2 * (circuit.signs @ gradient[part].t()) * state
            for block in range(len(uploads) - 1, -1, -1):
                state, outer = _apply(circuit.into_y, state), _apply(circuit.into_y, outer)
                angles = circuit.signs.t() @ (state.conj() * outer).imag / -2
                to_rotations[block] += angles.sum(1)
                if uploads[block]:
                    to_inputs[part] += angles.t()
                back = circuit.rotation(columns, block).conj()
                state, outer = _apply(circuit.into_z, back * state), _apply(circuit.into_z, back * outer)
                if block:
                    to_diagonals[block - 1] += (state.conj() * outer).imag.sum(1)
                    back = circuit.phases[block - 1].conj()
                    state, outer = back * state, back * outer
    return to_inputs, to_rotations, to_diagonals


def _chunks(inputs: torch.Tensor) -> list[slice]:
    """Return parts of the tokens: on a CPU as many as fit the cache, elsewhere enough to fill the device."""
    tokens, qubits = inputs.shape
    step = max(1, (CHUNK if inputs.device.type == "cpu" else 2**24) >> qubits)
    return [slice(start, min(start + step, tokens)) for start in range(0, tokens, step)]
