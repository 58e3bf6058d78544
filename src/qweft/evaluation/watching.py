"""Layers of a model watched while it runs: their inputs and outputs, and which of their tokens are no padding."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from qweft.adapter.attach import base_of

See = Callable[[str, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Takes a layer's name, its input (..., d_in) and output (..., d_out), and row numbers and kept flags of its tokens."""


def rows_and_kept(x: torch.Tensor, mask: torch.Tensor | None, before: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each token's row number, counted from `before`, and whether the mask (rows, tokens) keeps it.

    Some models flatten the tokens of all rows into one dimension before a layer. Without a matching mask, rows are the
    first dimension of x and all tokens are kept.
    """
    tokens = x.numel() // x.shape[-1]
    if mask is None or mask.numel() != tokens:
        mask = torch.ones(x.shape[0], tokens // x.shape[0], dtype=torch.bool)
    rows = torch.arange(len(mask)).repeat_interleave(mask.shape[1])
    return (rows + before).to(x.device), mask.reshape(-1).to(x.device)


def beyond_the_mask(model: Any) -> set[nn.Module]:
    """Return the decoder modules of an encoder-decoder model; the attention mask only covers the encoder's tokens."""
    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return set()
    return set(base_of(model).get_decoder().modules())


def mask_of(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """Return a batch's mask (rows, tokens), False at padding; `None` without one."""
    mask = batch.get("attention_mask")
    return mask.bool() if isinstance(mask, torch.Tensor) and mask.dim() == 2 else None


@torch.no_grad()
def watch(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    batches: Iterable[Mapping[str, Any]],
    see: See,
    at_base: bool = True,
) -> None:
    """Run an adapted model on batches, and show what goes into and comes out of the base layers of these layers.

    Without `at_base` of the layers themselves: some methods of PEFT compute with changed weights, past the base layer.
    """
    decoders, mask, before = beyond_the_mask(model), None, 0

    def hook(name: str, layer: nn.Module) -> Any:
        def after(_: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            see(name, args[0], output, *rows_and_kept(args[0], None if layer in decoders else mask, before))

        return after

    with ExitStack() as stack:
        for name, layer in layers.items():
            at: Any = layer.get_base_layer() if at_base else layer  # type: ignore[operator]
            stack.callback(at.register_forward_hook(hook(name, layer)).remove)
        for batch in batches:
            mask = mask_of(batch)
            model(**batch)
            before += len(next(iter(batch.values())))
