"""Inputs of adapted layers on real tokens, and gradient norms of their branches."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from qweft.adapter.branch import parts_of
from qweft.evaluation.loss import device_of
from qweft.evaluation.on_device import watch
from qweft.inspect.layers import LayerMap
from qweft.method.names import PARTS

ROWS = 2
"""Rows of text for the gradients; few, since the backward pass through the model is the slowest step."""
Norms = dict[str, float | None]


def evenly(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return at most `count` rows of the values, evenly spread; the choice is deterministic."""
    total = len(values)
    return values if total <= count else values[torch.arange(count) * total // count]


def as_inputs(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the batch with its tensors on the model's device."""
    device = device_of(model)
    return {key: value.to(device) for key, value in batch.items()}


def collect(
    model: nn.Module, layers: Mapping[str, tuple[nn.Module, LayerMap]], batches: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Run the model on batches; return by layer C x of all tokens, and the sum of squares of the base's outputs."""
    inputs: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    squares = dict.fromkeys(layers, 0.0)

    def see(name: str, x: torch.Tensor, y: torch.Tensor, _: torch.Tensor, kept: torch.Tensor) -> None:
        inputs[name].append(x.reshape(-1, x.shape[-1])[kept].cpu().double() @ layers[name][1].compress.T)
        squares[name] += float(y.reshape(-1, y.shape[-1])[kept].float().square().sum(1).cpu().double().sum())

    given = ({key: value for key, value in as_inputs(model, batch).items() if key != "labels"} for batch in batches)
    watch(model, {name: layer for name, (layer, _) in layers.items()}, given, see)
    nothing = torch.empty(0, 0, dtype=torch.float64)
    return {name: torch.cat(parts or [nothing]) for name, parts in inputs.items()}, squares


def gradient_norms(
    model: Any, layers: Mapping[str, nn.Module], adapter_name: str, batch: Mapping[str, Any]
) -> dict[str, Norms]:
    """Return the norm of the loss gradient for each part of each layer's branch; nothing without labels."""
    if "labels" not in batch:
        return {}
    kinds = parts_of(model)
    parts = [
        (name, kinds.get(id(parameter), "linear"), parameter)
        for name, layer in layers.items()
        for key, parameter in layer.named_parameters()
        if key.split(".")[1] == adapter_name  # after the holder's name, as in lora_A.default.weight
    ]
    parameters = [parameter for _, _, parameter in parts]
    before = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            loss = model(**{key: value[:ROWS] for key, value in as_inputs(model, batch).items()}).loss
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    finally:
        for parameter, required in zip(parameters, before, strict=True):
            parameter.requires_grad_(required)
    norms: dict[str, Norms] = {name: dict.fromkeys(PARTS) for name in layers}
    for (name, part, _), gradient in zip(parts, gradients, strict=True):
        norm = 0.0 if gradient is None else float(gradient.float().norm())
        norms[name][part] = math.hypot(norms[name][part] or 0.0, norm)
    return norms
