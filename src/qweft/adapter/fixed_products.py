"""Products of trained maps with fixed directions, of several branches at once."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from qweft.internals.torch import is_transformed

Dense = Callable[[torch.Tensor, torch.dtype], torch.Tensor]
"""From directions as they are saved to their numbers in a type."""


def one_by_one(
    trained: torch.Tensor, directions: Sequence[torch.Tensor], dense: Dense, on_the_left: bool
) -> torch.Tensor:
    """Return A V^T of each branch, or U B, stacked.

    The directions stay in their own dtype between forward and backward. A transform of `torch.func` follows plain
    operations only.
    """
    if is_transformed():
        return _products(trained, directions, dense, on_the_left)
    found: torch.Tensor = _OneByOne.apply(trained, dense, on_the_left, *directions)
    return found


def _products(
    trained: torch.Tensor, directions: Sequence[torch.Tensor], dense: Dense, on_the_left: bool
) -> torch.Tensor:
    pairs = zip(trained.unbind(), (dense(each, trained.dtype) for each in directions), strict=True)
    return torch.stack([own @ fixed if on_the_left else fixed @ own for own, fixed in pairs])


class _OneByOne(torch.autograd.Function):
    """`one_by_one` with a gradient that unpacks the directions again."""

    @staticmethod
    def forward(
        ctx: Any, trained: torch.Tensor, dense: Dense, on_the_left: bool, *directions: torch.Tensor
    ) -> torch.Tensor:
        """Return the products."""
        ctx.dense, ctx.directions, ctx.on_the_left = dense, directions, on_the_left
        return _products(trained, directions, dense, on_the_left)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of the trained maps."""
        pairs = zip(gradient.unbind(), (ctx.dense(each, gradient.dtype) for each in ctx.directions), strict=True)
        found = torch.stack([g @ fixed.mT if ctx.on_the_left else fixed.mT @ g for g, fixed in pairs])
        return found, None, None, *(None for _ in ctx.directions)
