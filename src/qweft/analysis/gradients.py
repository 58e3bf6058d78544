"""How large the gradients of a trained adapter are, by part and by layer."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from qweft.adapter.branch import PARTS, part_inside
from qweft.analysis.tokens import as_inputs

ROWS = 2
"""Rows of text that the loss is taken on: a backward pass through the model is the slowest step of all."""

Norms = dict[str, float | None]


def _parts(layer: Any, adapter_name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter of the layer's branch, with the part that it belongs to."""
    for holder in layer.adapter_layer_names:
        holders = getattr(layer, holder)
        if not isinstance(holders, nn.ModuleDict) or adapter_name not in holders:
            continue
        for name, parameter in holders[adapter_name].named_parameters():
            yield part_inside(name), parameter


def gradient_norms(
    model: Any, layers: Mapping[str, nn.Module], adapter_name: str, batch: Mapping[str, Any]
) -> dict[str, Norms] | None:
    """Norm of the gradient of the model's loss to each part of each layer's branch.

    Args:
        model: The adapted model in evaluation mode, the adapter active; its parameters' `grad` and `requires_grad` are
            left as they are.
        layers: The adapted layers by name.
        adapter_name: The adapter.
        batch: Inputs of the model with `labels`; the first `ROWS` rows are taken.

    Returns:
        For each layer {"circuit", "tensor_network", "linear"}, "circuit" also for a twin in its place, none where there
        is no such part; or none for all, where the batch holds no labels.
    """
    if "labels" not in batch:
        return None
    parts = [(name, part, p) for name, layer in layers.items() for part, p in _parts(layer, adapter_name)]
    before = [parameter.requires_grad for _, _, parameter in parts]
    rows = {key: value[:ROWS] for key, value in as_inputs(model, batch).items()}
    try:
        for _, _, parameter in parts:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            loss = model(**rows).loss
            found = torch.autograd.grad(loss, [parameter for _, _, parameter in parts], allow_unused=True)
    finally:
        for (_, _, parameter), required in zip(parts, before, strict=True):
            parameter.requires_grad_(required)
    squares: dict[str, Norms] = {name: dict.fromkeys(PARTS) for name in layers}
    for (name, part, _), gradient in zip(parts, found, strict=True):
        square = 0.0 if gradient is None else float(gradient.float().square().sum().cpu().double())
        squares[name][part] = (squares[name][part] or 0.0) + square
    return {
        name: {part: None if square is None else square**0.5 for part, square in norms.items()}
        for name, norms in squares.items()
    }
