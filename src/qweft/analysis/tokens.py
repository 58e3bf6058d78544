"""Inputs of adapted layers on real tokens, and gradient norms of their branches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from qweft.adapter.branch import parts_of
from qweft.analysis.layers import LayerMap
from qweft.evaluation.loss import device_of, target_loss
from qweft.evaluation.on_device import beyond_the_mask, rows_and_kept
from qweft.method.names import PARTS

Layers = Mapping[str, tuple[nn.Module, LayerMap]]


class Seen:
    """Records c of every token that is not padding, and the sum of squares of the base layer's outputs."""

    def __init__(self) -> None:
        self.parts: list[torch.Tensor] = []  # c of some tokens each, (tokens, r)
        self.base_square = 0.0

    @property
    def c(self) -> torch.Tensor:
        """C of all tokens in the order they were added, (tokens, r); (0, 0) without tokens."""
        return torch.cat(self.parts) if self.parts else torch.empty(0, 0, dtype=torch.float64)


def evenly(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return at most `count` rows of the values, evenly spread; the choice is deterministic."""
    total = len(values)
    return values if total <= count else values[torch.arange(count) * total // count]


def as_inputs(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the batch with its tensors on the model's device."""
    device = device_of(model)
    return {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}


@torch.no_grad()
def collect(model: nn.Module, layers: Layers, batches: Iterable[Mapping[str, Any]]) -> dict[str, Seen]:
    """Run the model on batches and record the inputs of layers."""
    seen = {name: Seen() for name in layers}
    decoders = beyond_the_mask(model)
    mask: torch.Tensor | None = None

    def kept(layer: nn.Module, x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """The rows of values (tokens, d) whose tokens are no padding."""
        return values.reshape(-1, values.shape[-1])[rows_and_kept(x, None if layer in decoders else mask)[1]]

    def watch_inputs(name: str, compress: torch.Tensor) -> Any:
        def before(layer: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            seen[name].parts.append(kept(layer, args[0], args[0]).cpu().double() @ compress.T)

        return before

    def watch_outputs(name: str, layer: nn.Module) -> Any:
        def after(_: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            y = kept(layer, args[0], output)
            seen[name].base_square += float(y.float().square().sum(1).cpu().double().sum())

        return after

    with ExitStack() as stack:
        for name, (layer, layer_map) in layers.items():
            stack.callback(layer.register_forward_pre_hook(watch_inputs(name, layer_map.compress)).remove)
            base: Any = layer.get_base_layer()  # type: ignore[operator]
            stack.callback(base.register_forward_hook(watch_outputs(name, layer)).remove)
        for batch in batches:
            given = batch.get("attention_mask")
            mask = given.bool() if isinstance(given, torch.Tensor) and given.dim() == 2 else None
            model(**{key: value for key, value in as_inputs(model, batch).items() if key != "labels"})
    return seen


def rows_of(batches: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of rows in batches."""
    return sum(len(next(iter(batch.values()))) for batch in batches)


ROWS = 2
"""Rows of text for the gradients; few, since the backward pass through the model is the slowest step."""

Norms = dict[str, float | None]


def _parts(layer: Any, adapter_name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield each parameter of the layer's branch with the name of its part."""
    for holder in layer.adapter_layer_names:
        holders = getattr(layer, holder)
        if not isinstance(holders, nn.ModuleDict) or adapter_name not in holders:
            continue
        parts = parts_of(holders[adapter_name])
        for parameter in holders[adapter_name].parameters():
            yield parts.get(id(parameter), "linear"), parameter


def _loss(model: Any, rows: dict[str, Any]) -> torch.Tensor:
    """Return the loss of training; of a classifier or an encoder-decoder, whose labels are others, its own."""
    base = model.get_base_model()
    if not base.can_generate() or base.config.is_encoder_decoder:
        own: torch.Tensor = model(**rows).loss
        return own
    return target_loss(model(**{key: rows[key] for key in rows if key != "labels"}), rows["labels"])


def gradient_norms(
    model: Any, layers: Mapping[str, nn.Module], adapter_name: str, batch: Mapping[str, Any]
) -> dict[str, Norms] | None:
    """Return the norm of the loss gradient for each part of each layer's branch."""
    if "labels" not in batch:
        return None
    parts = [(name, part, p) for name, layer in layers.items() for part, p in _parts(layer, adapter_name)]
    before = [parameter.requires_grad for _, _, parameter in parts]
    rows = {key: value[:ROWS] for key, value in as_inputs(model, batch).items()}
    try:
        for _, _, parameter in parts:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            loss = _loss(model, rows)
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
