"""Whether a model keeps packed rows apart."""

from collections.abc import Sequence
from typing import Any

import torch

from qweft.data.packing import Pack, PackingCollator
from qweft.errors import QweftError
from qweft.evaluation.mode import device_of, judged

TOLERANCE = 0.02
"""Largest difference of a logit, as a share of the largest logit: rounding in bfloat16 stays below, a leak does not."""


def check_apart(model: Any, packs: Sequence[Pack], pad_token_id: int) -> None:
    """Run two packed rows, and the same two by themselves.

    Args:
        model: The model.
        packs: Some have two rows; else there is nothing to see.
        pad_token_id: As for the collator.

    Raises:
        QweftError: If the second row's logits depend on the first row.
    """
    two = next((one[:2] for one in packs if len(one) > 1), None)
    if two is None:
        return
    collate = PackingCollator(pad_token_id)
    first = len(two[0]["input_ids"])
    with judged(model):
        packed = _logits(model, collate([two]))[0, first:].float()
        alone = _logits(model, collate([[two[1]]]))[0].float()
    if not bool((packed - alone).abs().max() <= TOLERANCE * alone.abs().max()):
        kind = type(getattr(model, "base_model", model)).__name__
        name = getattr(getattr(model, "config", None), "model_type", kind)
        raise QweftError(
            f"training.packing: a model of type {name} does not keep packed rows apart (it takes no position_ids, or "
            "its attention does not heed them); set training.packing to false"
        )


def _logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    device = device_of(model)
    inputs = {name: batch[name].to(device) for name in ("input_ids", "position_ids")}
    try:
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
    except TypeError as error:  # no position_ids
        raise QweftError(
            f"training.packing: the model takes no position_ids ({error}); set training.packing to false"
        ) from error
    return logits
