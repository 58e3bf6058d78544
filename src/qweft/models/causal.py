"""Checks that a base model predicts each token from the tokens before it, by its config and by its outputs."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from qweft.errors import QweftError
from qweft.models.config import remote_code_allowed
from qweft.models.quantization import check_quantization
from qweft.models.resolve import ModelSource
from qweft.text import shown

TOKENS = 6
"""Tokens of each of the two texts that `check_outputs` compares."""
LEAK = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Largest change of earlier logits, relative to their spread, by type."""
COARSE_LEAK = 2e-2
"""The same for other types, and for layers that choose experts or round per tensor: rounding may depend on the text."""
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
    """Check that a model's config describes a decoder; cheap, as nothing but the config is read."""
    config = config_of(source)
    if config is None:
        return
    if not isinstance(config, Mapping) or not isinstance(config.get("model_type"), str | None):
        raise QweftError(f"model {source.name}: its config.json is damaged; get it anew")
    check_quantization(quantization, source.name, config)
    kernel = next(_kernels(config), None)
    if kernel is not None and not remote_code_allowed():
        raise QweftError(
            f"model {source.name}: its config.json names {shown(kernel)}, code of the hub that would run in place of "
            "its attention or experts; take that out of config.json, or give --trust-remote-code"
        )
    kind, whole = config.get("model_type"), config.get("is_encoder_decoder") is True
    # XLM has the last of these keys
    if whole or (kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not (config.get("is_decoder") or config.get("causal"))):
        what = "an encoder-decoder" if whole else "an encoder (is_decoder is not true)"
        raise QweftError(f"model {source.name}: {kind} is {what}, which sees the answers that it is to predict; {WAY}")


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
    is_quantized = getattr(model, "is_quantized", False)  # 8 bits choose columns of outliers by the whole text
    if change > (COARSE_LEAK if is_quantized else LEAK.get(model.dtype, COARSE_LEAK)):
        raise QweftError(
            f"model {source.name}: {type(model).__name__} is not causal: a later token changes the logits of earlier "
            f"ones (by {change:.2%} of their spread), so it would see the answers that it is to predict; {WAY}"
        )
