"""PyTorch path for few qubits: all that stands between two uploads is one small matrix, built once a step.

In the eigenbasis of Y an upload is one phase on each basis state, RY(x) = W diag(exp(-i x/2), exp(i x/2)) W^+, so with
the W folded into the matrices A_l a token costs one elementwise product and one product with A_l for every layer:

    psi_0 = W^+ |0...0>,   psi_{l+1} = A_l (P(x) * psi_l),   z_i = sum_d s_{di} |psi_{L,d}|^2
"""

from typing import Any

import torch

from qweft.circuit.constants import constant
from qweft.circuit.halves import basis_signs_of, chunks, eigenbasis, rotation_matrices, upload_phases
from qweft.circuit.precision import exact_products

CHUNK_AMPLITUDES = 2**17
"""Amplitudes that are worked on at a time on a CPU: 1 MiB of complex64, so that a chunk's states stay in cache."""


def segment_length(uploads: tuple[bool, ...]) -> int | None:
    """Rotation blocks from one upload to the next, or none where uploads are uneven (this path then does not serve)."""
    places = [block for block, here in enumerate(uploads) if here]
    gaps = {after - before for before, after in zip(places, [*places[1:], len(uploads) - 1], strict=True)}
    # the last segment ends with the last block; a circuit that is all upload has no segment
    return gaps.pop() if places[:1] == [0] and len(gaps) == 1 and len(uploads) > 1 else None


def segment_matrices(rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]) -> torch.Tensor:
    """The matrices A_l, (L, 2^n, 2^n) complex, differentiable in the angles; built for all layers at once."""
    length, size = segment_length(uploads), diagonals.shape[-1]
    assert length is not None
    kind = torch.complex128 if rotations.dtype == torch.float64 else torch.complex64
    basis = eigenbasis(rotations.shape[-1], kind, rotations.device)
    turns = rotation_matrices(rotations)
    phases = torch.complex(diagonals.cos(), diagonals.sin()).unflatten(0, (-1, length))[..., None]
    # RY gates commute, so an upload's trained part may stand after it (the first) or before it (the others)
    first = _real_times_complex(turns[:1], basis[None])
    count = phases.shape[0]
    product = torch.cat([first, basis.expand(count - 1, size, size)])
    inner = turns[1:].unflatten(0, (-1, length))
    for step in range(length):
        product = _real_times_complex(inner[:, step], phases[:, step] * product)
    if count == 1:
        return product
    return torch.cat([torch.bmm(basis.mH.expand(count - 1, size, size), product[:-1]), product[-1:]])


def _real_times_complex(real: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Two real products side by side: half of the multiplications of a complex one."""
    count, size, _ = matrix.shape
    pairs = torch.view_as_real(matrix.resolve_conj().contiguous()).reshape(count, size, 2 * size)
    return torch.view_as_complex(torch.bmm(real, pairs).view(count, size, size, 2))


class SegmentExpectation(torch.autograd.Function):
    """Expectations of Z from uploaded inputs and segment matrices; the backward computes the states again.

    inputs (tokens, n) real and matrices (L, 2^n, 2^n) complex give (tokens, n). Nothing that grows with tokens times
    2^n is kept between forward and backward.
    """

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        """Expectations, chunk by chunk of tokens."""
        ctx.save_for_backward(inputs, matrices)
        signs = constant(basis_signs_of(inputs.shape[1]), inputs)
        values = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        with exact_products(inputs.device):
            for part in chunks(inputs, CHUNK_AMPLITUDES):
                _, state, _ = _states(inputs[part].t(), matrices)
                values[part] = torch.view_as_real(state).square().sum(-1).t() @ signs
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients to inputs and matrices: with G the gradient of a state, dL/dx = -1/2 s^T Im(conj(phi) G)."""
        inputs, matrices = ctx.saved_tensors
        (gradient,) = gradients
        signs = constant(basis_signs_of(inputs.shape[1]), inputs)
        to_inputs = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        to_matrices = torch.zeros_like(matrices)
        adjoint = matrices.mH
        with exact_products(inputs.device):
            for part in chunks(inputs, CHUNK_AMPLITUDES):
                before, state, phases = _states(inputs[part].t(), matrices)
                current = 2 * (signs @ gradient[part].t()) * state
                turned = torch.zeros_like(current.real)
                for layer in range(matrices.shape[0] - 1, -1, -1):
                    to_matrices[layer].addmm_(current, before[layer].mH)
                    current = adjoint[layer] @ current
                    turned += (before[layer].conj() * current).imag
                    if layer:
                        current = phases.conj() * current
                to_inputs[part] = turned.t() @ signs / -2
        return to_inputs, to_matrices


def _states(inputs: torch.Tensor, matrices: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """The state before each matrix, the last state, and the upload's phases; inputs (n, tokens)."""
    phases = upload_phases(inputs)
    start = eigenbasis(inputs.shape[0], matrices.dtype, matrices.device)[0].conj()[:, None]  # W^+ |0...0>
    before = [phases * start]
    state = matrices[0] @ before[0]
    for layer in range(1, matrices.shape[0]):
        before.append(phases * state)
        state = matrices[layer] @ before[layer]
    return before, state, phases
