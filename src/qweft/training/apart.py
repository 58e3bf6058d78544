"""The check that packed rows do not see each other."""

from collections.abc import Sequence
from typing import Any

import torch

from qweft.data.batches import Pack, PackingCollator
from qweft.errors import QweftError
from qweft.evaluation.generation import reads_whole_text
from qweft.evaluation.loss import device_of, judged
from qweft.models.quantization import quantized_as

TOLERANCE, COARSE_TOLERANCE = 1e-4, 0.02  # largest difference, relative to the largest logit; in half precision


def check_apart(model: Any, packs: Sequence[Pack], pad_token_id: int) -> None:
    """Check that packed rows do not attend to each other."""
    two = next((one[:2] for one in packs if len(one) > 1), None)
    if two is None:
        return
    collate = PackingCollator(pad_token_id)
    first = len(two[0]["input_ids"])

    def logits(packs: list[Pack]) -> torch.Tensor:
        batch = collate(packs)
        inputs = {name: batch[name].to(device_of(model)) for name in ("input_ids", "position_ids")}
        try:
            return model(**inputs, use_cache=False).logits[0].float()
        except TypeError as error:  # the model takes no position_ids
            raise QweftError(
                f"training.packing: the model takes no position_ids ({error}); set training.packing to false"
            ) from error

    with judged(model):
        packed, alone = logits([two])[first:], logits([[two[1]]])
    is_rounded = next(model.parameters()).dtype.itemsize < 4 or quantized_as(model) == "8bit"
    tolerance = COARSE_TOLERANCE if is_rounded else TOLERANCE
    # the logits may not show it yet: an adapter starts near nothing
    if reads_whole_text(model) or not bool((packed - alone).abs().max() <= tolerance * alone.abs().max()):
        kind = type(getattr(model, "base_model", model)).__name__
        name = getattr(getattr(model, "config", None), "model_type", kind)
        raise QweftError(
            f"training.packing: a model of type {name} does not keep packed rows apart (it takes no position_ids, its "
            "attention does not heed them, or its adapter needs the whole text); set training.packing to false"
        )
