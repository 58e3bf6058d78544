"""PyTorch paths: one dense matrix between two uploads, or rotations over the halves of the register."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch

from qweft.circuit.alternating import basis_signs
from qweft.circuit.precision import constant, exact_products
from qweft.internals.torch import followed_backward, for_later_calls

HALVES_CHUNK = 2**16
"""Amplitudes per chunk on a CPU: 512 KiB of complex64."""

Halves = tuple[torch.Tensor, torch.Tensor]

SEGMENTS_CHUNK = 2**17
"""Amplitudes per chunk on a CPU: 1 MiB of complex64, so that a chunk's states stay in cache."""


@lru_cache(maxsize=16)
@for_later_calls()
def basis_signs_of(qubits: int) -> torch.Tensor:
    """Return `basis_signs`, cached by number of qubits."""
    return basis_signs(qubits)


@lru_cache(maxsize=16)
@for_later_calls()
def eigenbasis(qubits: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return W of n qubits, (2^n, 2^n): its columns are the eigenvectors of Y on every qubit."""
    one = torch.tensor([[1, 1], [1j, -1j]], dtype=torch.complex128, device="cpu") / 2**0.5
    matrix = torch.ones(1, 1, dtype=torch.complex128, device="cpu")
    for _ in range(qubits):
        matrix = torch.kron(matrix, one)
    return matrix.to(device=device, dtype=dtype)


@lru_cache(maxsize=16)
@for_later_calls()
def _generators(qubits: int) -> torch.Tensor:
    """Return (n, 2^n, 2^n): dRY/d angle = 1/2 J RY, with J = [0 -1; 1 0] on one qubit."""
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64, device="cpu")
    found = torch.zeros(qubits, 2**qubits, 2**qubits, dtype=torch.float64, device="cpu")
    for q in range(qubits):
        before, after = (torch.eye(2**k, dtype=torch.float64, device="cpu") for k in (q, qubits - 1 - q))
        found[q] = torch.kron(torch.kron(before, turn), after)
    return found


def rotation_matrices(angles: torch.Tensor) -> torch.Tensor:
    """Return the products of RY on all qubits, (..., 2^n, 2^n), for angles (..., n); (..., 1, 1) for n = 0."""
    cos, sin = (angles / 2).cos(), (angles / 2).sin()
    small = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (..., n, 2, 2)
    matrix = angles.new_ones(*angles.shape[:-1], 1, 1)
    for qubit in range(angles.shape[-1]):
        factor = small[..., qubit, :, :]
        matrix = matrix[..., :, None, :, None] * factor[..., None, :, None, :]
        matrix = matrix.flatten(-4, -3).flatten(-2, -1)
    return matrix


def _turns(angles: torch.Tensor) -> torch.Tensor:
    """Return the phases exp(-+i angle / 2), (n, 2, tokens), for angles (n, tokens)."""
    half = angles / 2
    up = torch.complex(half.cos(), half.sin())
    return torch.stack([up.conj().resolve_conj(), up], 1)


def upload_phases(inputs: torch.Tensor, trained: torch.Tensor | None = None) -> torch.Tensor:
    """Return exp(-i/2 sum_q s_q (x_q + t_q)), (2^n, tokens), for inputs x (n, tokens) and trained angles t (n, 1).

    The phases are multiplied rather than the angles added: a sum would round a small trained angle on a large input.
    """
    turns = _turns(inputs) if trained is None else _turns(inputs) * _turns(trained)
    phases = turns[0]
    for qubit in range(1, inputs.shape[0]):
        phases = (phases[:, None] * turns[qubit][None]).flatten(0, 1)
    return phases


def _apply(halves: Halves, state: torch.Tensor) -> torch.Tensor:
    """Return (A (x) B) psi for psi (2^n, tokens); each of them may be real or complex."""
    left, right = halves
    pairs = state.is_complex() and not left.is_complex()
    numbers = torch.view_as_real(state) if pairs else state
    rows, columns = left.shape[0], right.shape[0]
    turned = left @ numbers.reshape(rows, -1)
    turned = torch.bmm(right.expand(rows, columns, columns), turned.view(rows, columns, -1))
    return torch.view_as_complex(turned.view(numbers.shape)) if pairs else turned.view(state.shape)


class _Circuit:
    """The blocks of one call: matrices and phases of the trained angles, and passes through them."""

    def __init__(self, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]):
        n = rotations.shape[1]
        self.qubits, self.left, self.uploads = n, n // 2, uploads
        kind = torch.complex128 if rotations.dtype == torch.float64 else torch.complex64
        self.rotations = rotations
        left, right = rotation_matrices(rotations[:, : self.left]), rotation_matrices(rotations[:, self.left :])
        self.halves: list[Halves] = list(zip(left, right, strict=True))
        self.phases = torch.complex(diagonals.cos(), diagonals.sin())[..., None]
        basis = [eigenbasis(size, kind, rotations.device) for size in (self.left, n - self.left)]
        self.into_z: Halves = (basis[0], basis[1])
        self.into_y: Halves = (basis[0].mH.resolve_conj(), basis[1].mH.resolve_conj())

    def _uploaded(self, inputs: torch.Tensor, block: int) -> torch.Tensor:
        return upload_phases(inputs, self.rotations[block, :, None])

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the final state, (2^n, tokens), for inputs (n, tokens)."""
        state = torch.zeros(2**self.qubits, inputs.shape[1], dtype=self.phases.dtype, device=inputs.device)
        state[0] = 1
        for block, uploads in enumerate(self.uploads):
            if block:
                state = self.phases[block - 1] * state
            if uploads:
                state = _apply(self.into_z, self._uploaded(inputs, block) * _apply(self.into_y, state))
            else:
                state = _apply(self.halves[block], state)
        return state

    def undo_rotation(
        self, block: int, inputs: torch.Tensor, state: torch.Tensor, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return dL/d angle and the state and gradient before the block.

        dL/d angle is (n, tokens), or (n, 1) for a block without upload; state and gradient are (2^n, tokens).
        """
        if self.uploads[block]:
            phases = self._uploaded(inputs, block).conj()
            state, gradient = _apply(self.into_y, state), _apply(self.into_y, gradient)
            signs = constant(basis_signs_of(self.qubits), inputs)
            angles = signs.t() @ (state.conj() * gradient).imag / -2
            return angles, _apply(self.into_z, phases * state), _apply(self.into_z, phases * gradient)
        angles = self._shared_angles(state, gradient)
        back = self.halves[block][0].t(), self.halves[block][1].t()
        return angles, _apply(back, state), _apply(back, gradient)

    def _shared_angles(self, state: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return 1/2 sum J_ij Re(g_i conj psi_j), summed over the other half of the register and the tokens."""
        rows, columns = 2**self.left, 2 ** (self.qubits - self.left)
        psi, g = torch.view_as_real(state), torch.view_as_real(gradient)
        left = g.reshape(rows, -1) @ psi.reshape(rows, -1).t()
        right = torch.bmm(g.reshape(rows, columns, -1), psi.reshape(rows, columns, -1).mT).sum(0)
        parts = [
            (constant(_generators(size), matrix) * matrix).sum((1, 2)) / 2
            for size, matrix in ((self.left, left), (self.qubits - self.left, right))
        ]
        return torch.cat(parts)[:, None]


def values_of(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations (tokens, n) without a graph, chunk by chunk of tokens."""
    signs = constant(basis_signs_of(inputs.shape[1]), inputs)
    values = torch.empty_like(inputs, memory_format=torch.contiguous_format)
    with exact_products(inputs.device):
        circuit = _Circuit(rotations, diagonals, uploads)
        for part in chunks(inputs, HALVES_CHUNK):
            state = circuit.run(inputs[part].t())
            values[part] = torch.view_as_real(state).square().sum(-1).t() @ signs
    return values


def gradients_of(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n)."""
    signs = constant(basis_signs_of(inputs.shape[1]), inputs)
    to_inputs = torch.zeros_like(inputs, memory_format=torch.contiguous_format)
    to_rotations, to_diagonals = torch.zeros_like(rotations), torch.zeros_like(diagonals)
    with exact_products(inputs.device):
        circuit = _Circuit(rotations, diagonals, uploads)
        for part in chunks(inputs, HALVES_CHUNK):
            columns = inputs[part].t()
            state = circuit.run(columns)
            outer = 2 * (signs @ gradient[part].t()) * state
            for block in range(len(uploads) - 1, -1, -1):
                angles, state, outer = circuit.undo_rotation(block, columns, state, outer)
                to_rotations[block] += angles.sum(1)
                if uploads[block]:
                    to_inputs[part] += angles.t()
                if block:
                    to_diagonals[block - 1] += (state.conj() * outer).imag.sum(1)
                    back = circuit.phases[block - 1].conj()
                    state, outer = back * state, back * outer
    return to_inputs, to_rotations, to_diagonals


def chunks(inputs: torch.Tensor, amplitudes: int) -> list[slice]:
    """Return parts of the tokens: on a CPU as many as fit the cache, elsewhere enough to fill the device."""
    tokens, qubits = inputs.shape
    step = max(1, amplitudes >> qubits) if inputs.device.type == "cpu" else max(1, 2**24 >> qubits)
    return [slice(start, min(start + step, tokens)) for start in range(0, tokens, step)]


def segment_length(uploads: tuple[bool, ...]) -> int | None:
    """Return the number of rotation blocks from one upload to the next, or `None` if uploads are uneven."""
    places = [block for block, here in enumerate(uploads) if here]
    gaps = {after - before for before, after in zip(places, [*places[1:], len(uploads) - 1], strict=True)}
    # the last segment ends with the last block; a circuit that is all upload has no segment
    return gaps.pop() if places[:1] == [0] and len(gaps) == 1 and len(uploads) > 1 else None


def segment_matrices(rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]) -> torch.Tensor:
    """Return the matrices A_l, (L, 2^n, 2^n) complex, differentiable in the angles; built for all layers at once.

        psi = A_L P A_(L-1) P ... A_1 P W^+ |0...0>

    P are the phases of an upload, which is diagonal in the eigenbasis W of Y on every qubit.
    """
    length, size = segment_length(uploads), diagonals.shape[-1]
    assert length is not None
    kind = torch.complex128 if rotations.dtype == torch.float64 else torch.complex64
    basis = eigenbasis(rotations.shape[-1], kind, rotations.device)
    turns = rotation_matrices(rotations)
    phases = torch.complex(diagonals.cos(), diagonals.sin()).unflatten(0, (-1, length))[..., None]
    # RY gates commute, so an upload's trained part may be put after it (the first) or before it (the others)
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
    """Multiply by real and imaginary part separately: half of the multiplications of a complex product."""
    count, size, _ = matrix.shape
    pairs = torch.view_as_real(matrix.resolve_conj().contiguous()).reshape(count, size, 2 * size)
    return torch.view_as_complex(torch.bmm(real, pairs).view(count, size, size, 2))


class SegmentExpectation(torch.autograd.Function):
    """Expectations of Z from uploaded inputs and segment matrices; the backward pass recomputes the states.

    Inputs (tokens, n) real and matrices (L, 2^n, 2^n) complex give (tokens, n). Nothing that grows with tokens times
    2^n is stored between forward and backward, unless the backward pass is to be differentiated again.
    """

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        """Return expectations, chunk by chunk of tokens."""
        ctx.save_for_backward(inputs, matrices)
        values = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        with exact_products(inputs.device):
            for part in chunks(inputs, SEGMENTS_CHUNK):
                values[part] = _expectations_of(inputs[part], matrices)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return gradients to inputs and matrices: dL/dx = -1/2 s^T Im(conj(phi) G) for a state phi with gradient G."""
        inputs, matrices = ctx.saved_tensors
        (gradient,) = gradients
        if followed_backward(gradient):
            return differentiable_gradients(_expectations_of, (inputs, matrices), gradient)
        signs = constant(basis_signs_of(inputs.shape[1]), inputs)
        to_inputs = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        to_matrices = torch.zeros_like(matrices)
        adjoint = matrices.mH
        with exact_products(inputs.device):
            for part in chunks(inputs, SEGMENTS_CHUNK):
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


def _expectations_of(inputs: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Return expectations (tokens, n) for inputs (tokens, n)."""
    _, state, _ = _states(inputs.t(), matrices)
    return torch.view_as_real(state).square().sum(-1).t() @ constant(basis_signs_of(inputs.shape[1]), inputs)


def differentiable_gradients(
    function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor], gradient: torch.Tensor
) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients to the arguments by plain operations, with a graph if they are differentiated again."""
    again = torch.is_grad_enabled()
    with exact_products(gradient.device), torch.enable_grad():
        # copies in the graph, since one argument may depend on another
        copies = [tensor.view_as(tensor) if tensor.requires_grad else tensor for tensor in arguments]
        wanted = [tensor for tensor in copies if tensor.requires_grad]
        found = iter(torch.autograd.grad(function(*copies), wanted, gradient, create_graph=again, allow_unused=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in arguments)


def _states(inputs: torch.Tensor, matrices: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Return the state before each matrix, the final state, and the upload's phases, for inputs (n, tokens)."""
    phases = upload_phases(inputs)
    start = eigenbasis(inputs.shape[0], matrices.dtype, matrices.device)[0].conj()[:, None]  # W^+ |0...0>
    before = [phases * start]
    state = matrices[0] @ before[0]
    for layer in range(1, matrices.shape[0]):
        before.append(phases * state)
        state = matrices[layer] @ before[layer]
    return before, state, phases
