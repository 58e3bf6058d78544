"""Which of the tokens that a layer sees are no padding."""

from typing import Any

import torch
from torch import nn


def rows_and_kept(x: torch.Tensor, mask: torch.Tensor | None, before: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """For each token of x, in a row: the number of its row, and whether it is no padding.

    Some models put the tokens of all rows into one dimension before a layer; with a mask their rows are known. Where
    nothing tells, each token stands for itself.

    Args:
        x: (..., d), what a layer is given.
        mask: (rows, tokens), false where a row is padded; none where nothing is known.
        before: Rows of earlier batches.
    """
    tokens = x.numel() // x.shape[-1]
    if mask is not None and mask.numel() == tokens:
        rows, kept = torch.arange(len(mask)).repeat_interleave(mask.shape[1]), mask.reshape(-1)
    else:
        rows, kept = (
            torch.arange(x.shape[0]).repeat_interleave(tokens // x.shape[0]),
            torch.ones(tokens, dtype=torch.bool),
        )
    return (rows + before).to(x.device), kept.to(x.device)


def beyond_the_mask(model: Any) -> set[nn.Module]:
    """The modules of a decoder that has an encoder: the mask is the encoder's, and says nothing of their tokens."""
    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return set()
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return set(base.get_decoder().modules())
