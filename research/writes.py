"""What stands between E's trained numbers and a layer's outputs: the base weight, a number an output, a rotation."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from qweft.adapter.maps import LinearMap
from qweft.method.names import Part
from research.changes import NAME, Batches, Change, expand_of, has_other_parts, layers_of
from research.maps import sparse_writes, whole_gradients


class Written(LinearMap):
    """B, zero at the start, and a fixed tensor F: the matrix is made of both."""

    parts: ClassVar[Mapping[str, Part]] = {"linear_weight": "linear"}

    def __init__(self, shape: tuple[int, ...], fixed: torch.Tensor, make: Callable[..., torch.Tensor], key: Hashable):
        """The key tells maps apart that must not be stacked on a CPU: a large F stands alone, by its layer's name."""
        super().__init__()
        self.linear_weight = nn.Parameter(torch.zeros(shape))
        self.fixed, self.make, self.key = fixed, make, key

    def tensors(self) -> list[torch.Tensor]:
        return [self.linear_weight, self.fixed]

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.make(*tensors)

    def form(self) -> Hashable:
        return self.key


def put(layer: Any, expand: LinearMap) -> None:
    """Take this map for E."""
    layer.qwthn_expand[NAME] = expand
    has_other_parts(layer)


def through_base(kinds: Sequence[str]) -> Change:
    """E = W0 B in layers of these kinds, B (d_in, r), W0 with singular values of rms 1, in its own type."""

    def change(model: nn.Module, batches: Batches) -> None:
        for name, layer in layers_of(model).items():
            if name.rpartition(".")[2] in kinds:
                base: Any = layer.get_base_layer()
                weight = base.weight.detach()
                weight = weight * (math.sqrt(min(weight.shape)) / weight.float().norm())
                shape = layer.in_features, layer.qwthn_r[NAME]
                put(layer, Written(shape, weight, lambda b, fixed: fixed @ b, ("through", name)))

    return change


def scaled_writes(power: float) -> Change:
    """E = diag(s) B, s the norm of each row of the gradient to this power, its rms in a layer 1 at power 1."""

    def change(model: nn.Module, batches: Batches) -> None:
        gradients = whole_gradients(model, batches)
        for name, layer in layers_of(model).items():
            norms = gradients[name].norm(dim=1)
            scale = (norms / norms.square().mean().sqrt()) ** power
            shape = layer.out_features, layer.qwthn_r[NAME]
            put(layer, Written(shape, scale, lambda b, fixed: fixed[..., None] * b, "scaled"))

    return change


def rotated_writes(model: nn.Module, batches: Batches) -> None:
    """E = R B, R a random rotation, one for all layers of a size: AdamW's steps have no coordinates to follow."""
    rotations: dict[int, torch.Tensor] = {}
    for name, layer in layers_of(model).items():
        size = layer.out_features
        if size not in rotations:
            drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(7))
            rotations[size] = torch.linalg.qr(drawn).Q
        shape = size, layer.qwthn_r[NAME]
        put(layer, Written(shape, rotations[size], lambda b, fixed: fixed @ b, ("rotated", name)))


def graded_writes(share: float, power: float = 0.0, across: float = 0.0) -> Change:
    """E writes to a share of the outputs, each times the norm of its row of the gradient to a power.

    Args:
        share: Of each layer, those with the longest rows.
        power: Of a row's norm over the rms of the chosen rows' norms in its layer.
        across: Of the rms of a layer's rows over the geometric mean of all layers'.
    """

    def change(model: nn.Module, batches: Batches) -> None:
        sparse_writes(share)(model, batches)
        norms = {name: gradient.norm(dim=1) for name, gradient in whole_gradients(model, batches).items()}
        levels = {name: rows.square().mean().sqrt() for name, rows in norms.items()}
        mean = torch.stack(list(levels.values())).log().mean().exp()
        for name, layer in layers_of(model).items():
            expand, rows = expand_of(layer), norms[name]
            chosen = expand.weight != 0
            # SparseExpand multiplies by its weight, which is 0 or 1 in the preset
            scale = (rows / rows[chosen].square().mean().sqrt()).clamp(min=1e-6) ** power
            expand.weight = torch.where(chosen, scale * (levels[name] / mean) ** across, 0.0)
            has_other_parts(layer)

    return change


def both(*changes: Change) -> Change:
    """One change after the other."""

    def change(model: nn.Module, batches: Batches) -> None:
        for each in changes:
            each(model, batches)

    return change
