"""PyTorch path for any number of qubits: rotations as products over the two halves of the register, and phases.

RY on every qubit is a Kronecker product A (x) B over the halves, two small matrix products. In the eigenbasis of Y, the
columns of W, a rotation is diagonal, so an upload is W P W^+ with one phase P for each basis state and token.

The backward pass undoes the blocks one after the other on the last state and its gradient (adjoint differentiation), so
one state is kept, whatever the number of layers, in chunks of tokens that stay in cache.
"""

from functools import lru_cache

import torch

from qweft.circuit.alternating import basis_signs
from qweft.circuit.constants import constant
from qweft.circuit.precision import exact_products

CHUNK_AMPLITUDES = 2**16
"""Amplitudes that are worked on at a time on a CPU: 512 KiB of complex64."""

Halves = tuple[torch.Tensor, torch.Tensor]


@lru_cache(maxsize=16)
def basis_signs_of(qubits: int) -> torch.Tensor:
    """`basis_signs`, one tensor a number of qubits."""
    return basis_signs(qubits)


@lru_cache(maxsize=16)
def eigenbasis(qubits: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """W of n qubits, (2^n, 2^n): its columns are the eigenvectors of Y on every qubit."""
    one = torch.tensor([[1, 1], [1j, -1j]], dtype=torch.complex128, device="cpu") / 2**0.5
    matrix = torch.ones(1, 1, dtype=torch.complex128, device="cpu")
    for _ in range(qubits):
        matrix = torch.kron(matrix, one)
    with torch.inference_mode(False):
        return matrix.to(device=device, dtype=dtype)


@lru_cache(maxsize=16)
def _generators(qubits: int) -> torch.Tensor:
    """(n, 2^n, 2^n): dRY/d angle = 1/2 J RY, with J = [0 -1; 1 0] on one qubit."""
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64, device="cpu")
    found = torch.zeros(qubits, 2**qubits, 2**qubits, dtype=torch.float64, device="cpu")
    for q in range(qubits):
        before, after = (torch.eye(2**k, dtype=torch.float64, device="cpu") for k in (q, qubits - 1 - q))
        found[q] = torch.kron(torch.kron(before, turn), after)
    return found


def rotation_matrices(angles: torch.Tensor) -> torch.Tensor:
    """(..., n) angles to the (..., 2^n, 2^n) products of RY on all qubits; (..., 1, 1) for n = 0."""
    cos, sin = (angles / 2).cos(), (angles / 2).sin()
    small = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (..., n, 2, 2)
    matrix = angles.new_ones(*angles.shape[:-1], 1, 1)
    for qubit in range(angles.shape[-1]):
        factor = small[..., qubit, :, :]
        matrix = matrix[..., :, None, :, None] * factor[..., None, :, None, :]
        matrix = matrix.flatten(-4, -3).flatten(-2, -1)
    return matrix


def _turns(angles: torch.Tensor) -> torch.Tensor:
    """(n, tokens) angles to the (n, 2, tokens) phases exp(-+i angle / 2)."""
    half = angles / 2
    up = torch.complex(half.cos(), half.sin())
    return torch.stack([up.conj().resolve_conj(), up], 1)


def upload_phases(inputs: torch.Tensor, trained: torch.Tensor | None = None) -> torch.Tensor:
    """exp(-i/2 sum_q s_q (x_q + t_q)), (2^n, tokens), for inputs (n, tokens) and trained parts (n, 1).

    The two parts are added as phases: their sum as a number would round a small trained part on a large input.
    """
    turns = _turns(inputs) if trained is None else _turns(inputs) * _turns(trained)
    phases = turns[0]
    for qubit in range(1, inputs.shape[0]):
        phases = (phases[:, None] * turns[qubit][None]).flatten(0, 1)
    return phases


def _apply(halves: Halves, state: torch.Tensor) -> torch.Tensor:
    """(A (x) B) psi for psi (2^n, tokens), whatever mixture of real and complex they are."""
    left, right = halves
    pairs = state.is_complex() and not left.is_complex()
    numbers = torch.view_as_real(state) if pairs else state
    rows, columns = left.shape[0], right.shape[0]
    turned = left @ numbers.reshape(rows, -1)
    turned = torch.bmm(right.expand(rows, columns, columns), turned.view(rows, columns, -1))
    return torch.view_as_complex(turned.view(numbers.shape)) if pairs else turned.view(state.shape)


class _Circuit:
    """The blocks of one call: matrices and phases of the trained angles, and how to run through them."""

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
        """The last state, (2^n, tokens); inputs (n, tokens)."""
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
        """dL/d angle, (n, tokens) or for a block without upload (n, 1), and the state and gradient before the block."""
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
        """1/2 sum J_ij Re(g_i conj psi_j), the other half of the register and the tokens summed over."""
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
    """Expectations (tokens, n) without a graph, chunk by chunk of tokens."""
    signs = constant(basis_signs_of(inputs.shape[1]), inputs)
    values = torch.empty_like(inputs, memory_format=torch.contiguous_format)
    with exact_products(inputs.device):
        circuit = _Circuit(rotations, diagonals, uploads)
        for part in chunks(inputs, CHUNK_AMPLITUDES):
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
    """Gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n)."""
    signs = constant(basis_signs_of(inputs.shape[1]), inputs)
    to_inputs = torch.zeros_like(inputs, memory_format=torch.contiguous_format)
    to_rotations, to_diagonals = torch.zeros_like(rotations), torch.zeros_like(diagonals)
    with exact_products(inputs.device):
        circuit = _Circuit(rotations, diagonals, uploads)
        for part in chunks(inputs, CHUNK_AMPLITUDES):
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
    """Parts of the tokens: on a CPU as many as fit a cache, elsewhere large enough to fill the device."""
    tokens, qubits = inputs.shape
    step = max(1, amplitudes >> qubits) if inputs.device.type == "cpu" else max(1, 2**24 >> qubits)
    return [slice(start, min(start + step, tokens)) for start in range(0, tokens, step)]
