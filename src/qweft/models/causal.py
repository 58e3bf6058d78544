"""Checks of a base model: that its config asks for no code, and that it predicts each token from those before it."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import PretrainedConfig

from qweft.core.errors import QweftError
from qweft.core.text import shown
from qweft.models.config import remote_code_allowed
from qweft.models.quantization import check_quantization
from qweft.models.resolve import ModelSource

TOKENS = 6
"""Tokens of each of the two texts that `check_outputs` compares."""
LEAK, COARSE_LEAK = 1e-4, 2e-2
"""Largest changes of earlier logits, relative to their spread: in 32 bits or more, and in fewer, which are rounded."""
ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")
"""Tokens that a generation config names."""
WAY = "give a decoder (a model saved as ...ForCausalLM)"


def config_of(source: ModelSource) -> Any:
    """Return what a model's config.json holds; `None` where it cannot be read, which loading tells."""
    try:
        # Only the JSON: the config class of a model with code of its own would be run.
        return PretrainedConfig.get_config_dict(source.location, local_files_only=source.local)[0]
    except Exception:
        return None


def check_config(source: ModelSource, quantization: str | None = None) -> None:
    """Check what a model's config asks for; cheap, as nothing else is read."""
    config = config_of(source) or {}
    check_quantization(quantization, source.name, config)
    kernel = next(_kernels(config), None)
    if kernel is not None and not remote_code_allowed():
        raise QweftError(
            f"model {source.name}: its config.json names {shown(kernel)}, code of the hub that would run in place of "
            "its attention or experts; take that out of config.json, or give --trust-remote-code"
        )


def _kernels(value: Any, is_named: bool = False) -> Iterator[str]:
    """Yield the hub's kernels, as OWNER/NAME, that a config asks for; transformers fetches and runs them."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _kernels(each, is_named or "implementation" in str(key))
    elif is_named and isinstance(value, str) and "/" in value:
        yield value


@torch.no_grad()
def check_outputs(model: Any, source: ModelSource) -> None:
    """Check that the logits before the last token do not depend on it, on two texts that differ in it alone."""
    embeddings = model.get_input_embeddings().weight
    size = len(embeddings)
    ids = torch.arange(size // 2, size // 2 + TOKENS, device=embeddings.device)[None] % size
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + size // 3 + 1) % size
    mask = torch.ones_like(ids)
    # Each text alone, in one shape: then a decoder's rounding is the same for both.
    one, two = (model(input_ids=each, attention_mask=mask).logits[0, :-1].float() for each in (ids, other))
    if one.isnan().any() or two.isnan().any():
        raise QweftError(
            f"model {source.name}: its logits are not numbers (NaN) in {str(model.dtype).removeprefix('torch.')}; get "
            "its weights anew, or set model.dtype to float32 where they are larger than the type can hold"
        )
    change = (one - two).square().mean().sqrt() / one.std()
    # 8 bits choose columns of outliers by the whole text
    is_coarse = model.dtype.itemsize < 4 or getattr(model, "is_quantized", False)
    if change > (COARSE_LEAK if is_coarse else LEAK):
        raise QweftError(
            f"model {source.name}: {type(model).__name__} is not causal: a later token changes the logits of earlier "
            f"ones (by {change:.2%} of their spread), so it would see the answers that it is to predict; {WAY}"
        )
