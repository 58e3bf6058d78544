"""The engine as one operator of PyTorch, which `torch.compile` calls without looking into it."""

import torch

from qweft.circuit.paths import kernels_for


@torch.library.custom_op("qweft::expectations", mutates_args=())
def _expectations(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: list[int]
) -> torch.Tensor:
    kernels = kernels_for(inputs.shape[1], inputs.device)
    return kernels.values_of(inputs, rotations, diagonals, tuple(map(bool, uploads)))  # type: ignore[no-any-return]


@torch.library.custom_op("qweft::expectations_backward", mutates_args=())
def _expectations_backward(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: list[int],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    kernels = kernels_for(inputs.shape[1], inputs.device)
    to_inputs, to_rotations, to_diagonals = kernels.gradients_of(
        gradient, inputs, rotations, diagonals, tuple(map(bool, uploads))
    )
    return to_inputs, to_rotations, to_diagonals


@_expectations.register_fake
def _shapes(inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: list[int]) -> torch.Tensor:
    return inputs.new_empty(inputs.shape)


@_expectations_backward.register_fake
def _shapes_backward(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: list[int],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return inputs.new_empty(inputs.shape), rotations.new_empty(rotations.shape), diagonals.new_empty(diagonals.shape)


def _keep(ctx: object, inputs: tuple[object, ...], output: torch.Tensor) -> None:
    *tensors, ctx.uploads = inputs  # type: ignore[attr-defined]
    ctx.save_for_backward(*tensors)  # type: ignore[attr-defined]


def _differentiate(ctx: object, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    saved = ctx.saved_tensors  # type: ignore[attr-defined]
    return (*_expectations_backward(gradient.contiguous(), *saved, ctx.uploads), None)  # type: ignore[attr-defined]


_expectations.register_autograd(_differentiate, setup_context=_keep)


def expectations(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """The engine inside of a compiled model."""
    return _expectations(inputs, rotations, diagonals, list(map(int, uploads)))  # type: ignore[no-any-return]
