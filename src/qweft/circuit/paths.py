"""The paths of the engine, and which one serves a circuit on a device.

A path takes inputs (tokens, n), rotations (k + 1, n), diagonals (k, 2^n), all of one type, and which rotation blocks
upload; it gives expectations (tokens, n).
"""

from types import ModuleType
from typing import Any

import torch

from qweft.circuit import compiled, fused, halves
from qweft.circuit.precision import exact_products
from qweft.circuit.segments import SegmentExpectation, segment_length, segment_matrices

DENSE_QUBITS = 6
"""PyTorch paths: up to so many qubits a layer as one dense matrix is cheaper, above that rotations over halves."""


def kernels_for(qubits: int, device: torch.device) -> ModuleType:
    """The fastest `values_of` and `gradients_of`: compiled on a CPU, fused on a GPU, PyTorch's where neither runs."""
    if device.type == "cpu":
        return compiled if compiled.available() else halves
    return fused if qubits <= fused.MAX_QUBITS and fused.available(device) else halves


def run(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Expectations by the fastest path for this number of qubits on this device."""
    qubits = inputs.shape[1]
    kernels = kernels_for(qubits, inputs.device)
    if kernels is halves and qubits <= DENSE_QUBITS and segment_length(uploads) is not None:
        return by_segments(inputs, rotations, diagonals, uploads)
    return by_kernels(kernels, inputs, rotations, diagonals, uploads)


def by_kernels(
    kernels: ModuleType,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> torch.Tensor:
    """Expectations by a module's `values_of`, and gradients by its `gradients_of`."""
    if torch.is_grad_enabled() and (inputs.requires_grad or rotations.requires_grad or diagonals.requires_grad):
        return _Expectations.apply(kernels, inputs, rotations, diagonals, uploads)  # type: ignore[no-any-return]
    return kernels.values_of(inputs, rotations, diagonals, uploads)  # type: ignore[no-any-return]


def by_segments(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """PyTorch, one dense matrix a layer."""
    with exact_products(inputs.device):
        matrices = segment_matrices(rotations, diagonals, uploads)
    return SegmentExpectation.apply(inputs, matrices)  # type: ignore[no-any-return]


class _Expectations(torch.autograd.Function):
    """Differentiable once; only the arguments are kept between forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: ModuleType,
        inputs: torch.Tensor,
        rotations: torch.Tensor,
        diagonals: torch.Tensor,
        uploads: tuple[bool, ...],
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, rotations, diagonals)
        ctx.kernels, ctx.uploads = kernels, uploads
        return kernels.values_of(inputs, rotations, diagonals, uploads)  # type: ignore[no-any-return]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, rotations, diagonals = ctx.saved_tensors
        found = ctx.kernels.gradients_of(gradients[0], inputs, rotations, diagonals, ctx.uploads)
        return (None, *found, None)
