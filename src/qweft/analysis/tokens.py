"""Inputs of adapted layers on real tokens, and gradient norms of their branches."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qweft.adapter.branch import parts_of
from qweft.analysis.layers import LayerMap
from qweft.evaluation.loss import device_of, target_loss
from qweft.evaluation.on_device import watch
from qweft.method.names import PARTS

ROWS = 2
"""Rows of text for the gradients; few, since the backward pass through the model is the slowest step."""
Norms = dict[str, float | None]


@dataclass
class Seen:
    """C x of every token that is not padding, (tokens, r), and the sum of squares of the base layer's outputs."""

    c: torch.Tensor
    base_square: float


def evenly(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return at most `count` rows of the values, evenly spread; the choice is deterministic."""
    total = len(values)
    return values if total <= count else values[torch.arange(count) * total // count]


def as_inputs(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the batch with its tensors on the model's device."""
    device = device_of(model)
    return {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}


def collect(
    model: nn.Module, layers: Mapping[str, tuple[nn.Module, LayerMap]], batches: Iterable[Mapping[str, Any]]
) -> dict[str, Seen]:
    """Run the model on batches and record the inputs of layers."""
    inputs: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    squares = dict.fromkeys(layers, 0.0)

    def see(name: str, x: torch.Tensor, y: torch.Tensor, _: torch.Tensor, kept: torch.Tensor) -> None:
        inputs[name].append(x.reshape(-1, x.shape[-1])[kept].cpu().double() @ layers[name][1].compress.T)
        squares[name] += float(y.reshape(-1, y.shape[-1])[kept].float().square().sum(1).cpu().double().sum())

    given = ({key: value for key, value in as_inputs(model, batch).items() if key != "labels"} for batch in batches)
    watch(model, {name: layer for name, (layer, _) in layers.items()}, given, see)
    nothing = torch.empty(0, 0, dtype=torch.float64)
    return {name: Seen(torch.cat(parts or [nothing]), squares[name]) for name, parts in inputs.items()}


def _parts(layer: Any, adapter_name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield each parameter of the layer's branch with the name of its part."""
    for holders in (getattr(layer, name) for name in layer.adapter_layer_names):
        if isinstance(holders, nn.ModuleDict) and adapter_name in holders:
            parts = parts_of(holders[adapter_name])
            for parameter in holders[adapter_name].parameters():
                yield parts.get(id(parameter), "linear"), parameter


def gradient_norms(
    model: Any, layers: Mapping[str, nn.Module], adapter_name: str, batch: Mapping[str, Any]
) -> dict[str, Norms] | None:
    """Return the norm of the loss gradient for each part of each layer's branch."""
    if "labels" not in batch:
        return None
    parts = [(name, part, p) for name, layer in layers.items() for part, p in _parts(layer, adapter_name)]
    parameters = [parameter for _, _, parameter in parts]
    before = [parameter.requires_grad for parameter in parameters]
    rows = {key: value[:ROWS] for key, value in as_inputs(model, batch).items()}
    base = model.get_base_model()
    has_own_loss = not base.can_generate() or base.config.is_encoder_decoder  # whose labels are others
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            outputs = model(**{key: rows[key] for key in rows if has_own_loss or key != "labels"})
            loss = outputs.loss if has_own_loss else target_loss(outputs, rows["labels"])
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    finally:
        for parameter, required in zip(parameters, before, strict=True):
            parameter.requires_grad_(required)
    squares: dict[str, Norms] = {name: dict.fromkeys(PARTS) for name in layers}
    for (name, part, _), gradient in zip(parts, gradients, strict=True):
        square = 0.0 if gradient is None else float(gradient.float().square().sum().cpu().double())
        squares[name][part] = (squares[name][part] or 0.0) + square
    return {
        name: {part: None if square is None else square**0.5 for part, square in norms.items()}
        for name, norms in squares.items()
    }
