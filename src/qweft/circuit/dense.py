"""The engine in PyTorch's operations, where no kernel runs, and for derivatives of any order."""

from collections.abc import Sequence
from functools import lru_cache, partial

import torch

from qweft.circuit.alternating import basis_signs
from qweft.circuit.precision import constant, exact_products
from qweft.circuit.reference import gradients_in_parts
from qweft.internals.torch import for_later_calls

CHUNK = 2**16
"""Amplitudes per chunk of tokens on a CPU: 512 KiB of complex64."""


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
    """Return the phases exp(-+i angle / 2), (..., n, 2, tokens), for angles (..., n, tokens)."""
    half = angles / 2
    return torch.stack([torch.complex(half.cos(), -half.sin()), torch.complex(half.cos(), half.sin())], -2)


def _apply(halves: Sequence[torch.Tensor], state: torch.Tensor) -> torch.Tensor:
    """Return (A (x) B) psi for psi (2^n, tokens)."""
    left, right = halves
    rows, columns = left.shape[0], right.shape[0]
    turned = (left @ state.reshape(rows, -1)).reshape(rows, columns, -1)
    return torch.bmm(right.expand(rows, columns, columns), turned).flatten(0, 1)


def block_by_block(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return <Z> of each qubit from the angles of blocks, shapes as in `engine.Blocks`; autograd keeps every state."""
    n = inputs.shape[1]
    kind = torch.complex128 if rotations.dtype == torch.float64 else torch.complex64
    into_z = [eigenbasis(size, kind, rotations.device) for size in (n // 2, n - n // 2)]
    into_y = [half.mH.resolve_conj() for half in into_z]
    phases = torch.complex(diagonals.cos(), diagonals.sin())[..., None]
    # of |0...0>, by tensors alone: sizes that are numbers would be constants of a trace
    state = torch.ones_like(inputs.t()[:1]) * 2 ** (-n / 2)
    uploaded = _turns(inputs.t())
    for block, here in enumerate(uploads):
        if block:
            state = _apply(into_y, phases[block - 1] * state)
        # phases are multiplied: a sum of angles would round a small trained one on a large input
        turns = _turns(rotations[block, :, None])
        turns = turns * uploaded if here else turns
        rotation = turns[0]
        for qubit in range(1, n):
            rotation = (rotation[:, None] * turns[qubit][None]).flatten(0, 1)
        state = _apply(into_z, rotation * state)
    return (state.real.square() + state.imag.square()).t() @ constant(basis_signs(n), rotations)


def values_of(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations (tokens, n) without a graph, on a CPU in chunks of tokens that fit the cache."""
    tokens = max(1, (CHUNK if inputs.device.type == "cpu" else 2**24) >> inputs.shape[1])
    with torch.no_grad(), exact_products(inputs.device):
        return torch.cat([block_by_block(part, rotations, diagonals, uploads) for part in inputs.split(tokens)])


def gradients_of(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> tuple[torch.Tensor, ...]:
    """Return gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n)."""
    amplitudes = 5 * len(uploads) << inputs.shape[1]
    with exact_products(inputs.device):
        return gradients_in_parts(
            partial(block_by_block, uploads=uploads), gradient, (inputs, rotations, diagonals), amplitudes
        )
