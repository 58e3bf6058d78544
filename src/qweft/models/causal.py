"""Check that a base model predicts each token from those before it alone."""

from typing import Any

import torch

from qweft.core.errors import QweftError
from qweft.models.find import ModelSource

TOKENS = 6
"""Tokens of each of the two texts that `check_outputs` compares."""
LEAK = 1e-4
"""Largest change of earlier logits by a later token, relative to their spread."""
COARSE_LEAK = 2e-2
"""The same in fewer than 32 bits, in which logits are rounded."""
DECODER_HINT = "give a decoder (a model saved as ...ForCausalLM)"


@torch.no_grad()
def check_outputs(model: Any, source: ModelSource) -> None:
    """Check that the logits before the last token do not depend on it, on two texts that differ in it alone."""
    text, changed = _texts(model.get_input_embeddings().weight)
    # Each text alone, in one shape: then a decoder's rounding is the same for both.
    before = _earlier_logits(model, text)
    after = _earlier_logits(model, changed)
    if before.isnan().any() or after.isnan().any():
        raise QweftError(
            f"model {source.name}: its logits are not numbers (NaN) in {str(model.dtype).removeprefix('torch.')}; get "
            "its weights anew, or set model.dtype to float32 where they are larger than the type can hold"
        )
    leak = (before - after).square().mean().sqrt() / before.std()
    # 8 bits choose columns of outliers by the whole text
    is_coarse = model.dtype.itemsize < 4 or getattr(model, "is_quantized", False)
    if leak > (COARSE_LEAK if is_coarse else LEAK):
        raise QweftError(
            f"model {source.name}: {type(model).__name__} is not causal: a later token changes the logits of earlier "
            f"ones (by {leak:.2%} of their spread), so it would see the answers that it is to predict; {DECODER_HINT}"
        )


def _texts(embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two texts, each 1 x `TOKENS`, of tokens from the middle of the vocabulary; the last token differs."""
    vocabulary = len(embeddings)
    middle = vocabulary // 2
    text = torch.arange(middle, middle + TOKENS, device=embeddings.device)[None] % vocabulary
    changed = text.clone()
    changed[0, -1] = (text[0, -1] + vocabulary // 3 + 1) % vocabulary
    return text, changed


def _earlier_logits(model: Any, text: torch.Tensor) -> torch.Tensor:
    """Return the logits at all tokens but the last, in float32."""
    logits: torch.Tensor = model(input_ids=text, attention_mask=torch.ones_like(text)).logits
    return logits[0, :-1].float()
