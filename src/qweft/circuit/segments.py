"""Fast path for few qubits: all that stands between two uploads of the input is one small matrix, built once a step.

In the eigenbasis of Y an upload is one phase on each basis state, RY(x) = W diag(exp(-i x/2), exp(i x/2)) W^+, so with
the W folded into the matrices A_l a token costs one elementwise product and one product with A_l for every layer:

    psi_0 = W^+ |0...0>,   psi_{l+1} = A_l (P(x) * psi_l),   z_i = sum_d s_{di} |psi_{L,d}|^2
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from qweft.circuit.description import Circuit
from qweft.circuit.precision import exact_products
from qweft.circuit.program import Block, basis_signs, blocks_of, constant

CHUNK_AMPLITUDES = 2**17
"""Amplitudes that are worked on at a time: 1 MiB of complex64, so that a chunk's states stay in cache."""


@dataclass(frozen=True)
class Segments:
    """A circuit as L uploads, each followed by the same pattern of blocks.

    Args:
        wires: For each qubit the entry of the input that every upload puts on it.
        kinds: The kind of each block of a segment.
        rotations: (rotation blocks x L, n, parameters), one block's L segments after the other.
        diagonals: (diagonal blocks x L, 2^n, parameters).
    """

    wires: tuple[int, ...]
    length: int
    kinds: tuple[str, ...]
    rotations: torch.Tensor
    diagonals: torch.Tensor


@lru_cache(maxsize=64)
def segments_of(circuit: Circuit) -> Segments | None:
    """The circuit in the form of `Segments`, or none where it has another form (this path then does not serve it)."""
    segments: list[list[Block]] = []
    uploads = []
    for block in blocks_of(circuit):
        fixed = Block(block.kind, None, block.from_parameters) if block.from_parameters is not None else None
        if block.from_inputs is None:
            if not segments or fixed is None:
                return None
            segments[-1].append(fixed)
            continue
        if block.kind != "rotation":
            return None
        uploads.append(block.from_inputs)
        if segments:
            if fixed is not None:
                segments[-1].append(fixed)  # RY angles add, so the trained part may stand before the upload
            segments.append([])
        else:
            segments.append([fixed] if fixed is not None else [])
    patterns = {tuple(block.kind for block in segment) for segment in segments}
    if len(patterns) != 1 or any(not torch.equal(upload, uploads[0]) for upload in uploads):
        return None
    upload = uploads[0]
    if not bool(((upload == 1).sum(1) == 1).all()) or not bool((upload.sum(1) == 1).all()):
        return None
    kinds = patterns.pop()
    stacked: dict[str, list[torch.Tensor]] = {"rotation": [], "diagonal": []}
    for position, kind in enumerate(kinds):
        for segment in segments:
            matrix = segment[position].from_parameters
            assert matrix is not None
            stacked[kind].append(matrix)
    n, size = circuit.qubits, circuit.parameters

    def stack(kind: str, rows: int) -> torch.Tensor:
        return torch.stack(stacked[kind]) if stacked[kind] else torch.zeros(0, rows, size, dtype=torch.float64)

    wires = tuple(int(row.argmax()) for row in upload)
    return Segments(wires, len(segments), kinds, stack("rotation", n), stack("diagonal", 2**n))


@lru_cache(maxsize=16)
def _eigenbasis(qubits: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """W of n qubits, (2^n, 2^n): its columns are the eigenvectors of Y on every qubit."""
    one = torch.tensor([[1, 1], [1j, -1j]], dtype=torch.complex128) / 2**0.5
    matrix = torch.ones(1, 1, dtype=torch.complex128)
    for _ in range(qubits):
        matrix = torch.kron(matrix, one)
    return matrix.to(device=device, dtype=dtype)


def _rotation_matrices(angles: torch.Tensor) -> torch.Tensor:
    """(..., n) angles to the (..., 2^n, 2^n) products of RY on all qubits."""
    cos, sin = (angles / 2).cos(), (angles / 2).sin()
    small = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (..., n, 2, 2)
    matrix = small[..., 0, :, :]
    for qubit in range(1, angles.shape[-1]):
        factor = small[..., qubit, :, :]
        matrix = matrix[..., :, None, :, None] * factor[..., None, :, None, :]
        size = 2 ** (qubit + 1)
        matrix = matrix.reshape(*angles.shape[:-1], size, size)
    return matrix


def segment_matrices(circuit: Circuit, segments: Segments, parameters: torch.Tensor) -> torch.Tensor:
    """The matrices A_l, (L, 2^n, 2^n) complex, differentiable in the parameters; built for all layers at once."""
    length, size = segments.length, 2**circuit.qubits
    dtype = torch.complex128 if parameters.dtype == torch.float64 else torch.complex64
    basis = _eigenbasis(circuit.qubits, dtype, parameters.device)
    turns = _rotation_matrices(constant(segments.rotations, parameters) @ parameters).view(-1, length, size, size)
    angles = (constant(segments.diagonals, parameters) @ parameters).view(-1, length, size, 1)
    phases = torch.complex(angles.cos(), angles.sin())
    product = basis.expand(length, size, size)
    rotation = diagonal = 0
    for kind in segments.kinds:
        if kind == "rotation":  # a real matrix times a complex one: two real products side by side
            pairs = torch.view_as_real(product.resolve_conj().contiguous()).reshape(length, size, 2 * size)
            product = torch.view_as_complex(torch.bmm(turns[rotation], pairs).view(length, size, size, 2))
            rotation += 1
        else:
            product = phases[diagonal] * product
            diagonal += 1
    if length == 1:
        return product.contiguous()
    back = basis.mH.expand(length - 1, size, size)
    return torch.cat([torch.bmm(back, product[:-1]), product[-1:]])


def _upload_phases(inputs: torch.Tensor) -> torch.Tensor:
    """(n, tokens) angles to the (2^n, tokens) phases exp(-i/2 sum_q s_q x_q)."""
    half = inputs / 2
    up = torch.complex(half.cos(), half.sin())
    pairs = torch.stack([up.conj().resolve_conj(), up], 1)  # (n, 2, tokens)
    phases = pairs[0]
    for qubit in range(1, inputs.shape[0]):
        phases = (phases[:, None] * pairs[qubit][None]).flatten(0, 1)
    return phases


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
            for start, stop in _chunks(inputs, matrices):
                _, state, _ = _states(inputs[start:stop].t(), matrices)
                probabilities = torch.view_as_real(state).square().sum(-1)
                values[start:stop] = probabilities.t() @ signs
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients to inputs and matrices: with G the gradient of a state, dL/dx = -1/2 s^T Im(conj(phi) G)."""
        inputs, matrices = ctx.saved_tensors
        (gradient,) = gradients
        signs = constant(basis_signs_of(inputs.shape[1]), inputs)
        to_inputs = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        to_matrices = torch.zeros_like(matrices)
        adjoint = matrices.mH
        with exact_products(inputs.device):
            for start, stop in _chunks(inputs, matrices):
                before, state, phases = _states(inputs[start:stop].t(), matrices)
                current = 2 * (signs @ gradient[start:stop].t()) * state
                turned = torch.zeros_like(current.real)
                for layer in range(matrices.shape[0] - 1, -1, -1):
                    to_matrices[layer].addmm_(current, before[layer].mH)
                    current = adjoint[layer] @ current
                    turned += (before[layer].conj() * current).imag
                    if layer:
                        current = phases.conj() * current
                to_inputs[start:stop] = turned.t() @ signs / -2
        return to_inputs, to_matrices


@lru_cache(maxsize=16)
def basis_signs_of(qubits: int) -> torch.Tensor:
    """`basis_signs`, one tensor a number of qubits."""
    return basis_signs(qubits)


def _chunks(inputs: torch.Tensor, matrices: torch.Tensor) -> list[tuple[int, int]]:
    step = max(1, CHUNK_AMPLITUDES // matrices.shape[-1]) if inputs.device.type == "cpu" else 2**14
    return [(start, min(start + step, inputs.shape[0])) for start in range(0, inputs.shape[0], step)]


def _states(inputs: torch.Tensor, matrices: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """The state before each matrix, the last state, and the upload's phases; inputs (n, tokens)."""
    qubits = inputs.shape[0]
    phases = _upload_phases(inputs)
    start = _eigenbasis(qubits, matrices.dtype, matrices.device)[0].conj()[:, None]  # W^+ |0...0>
    before = [phases * start]
    state = matrices[0] @ before[0]
    for layer in range(1, matrices.shape[0]):
        before.append(phases * state)
        state = matrices[layer] @ before[layer]
    return before, state, phases
