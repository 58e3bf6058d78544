"""Base models in 4 or 8 bits by bitsandbytes: the checks, the scheme, and shapes with such layers."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from qweft.core.errors import QweftError
from qweft.core.text import short_repr

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig

QUANTIZATIONS = {"4bit": "in 4 bits (NF4)", "8bit": "in 8 bits (LLM.int8)"}
"""How records and reports name a quantization; fingerprints of runs hold these words."""
BITS = {"4bit": 4, "8bit": 8}
NOT_QUANTIZED = ["lm_head"]
"""What bitsandbytes leaves as it is where a config names nothing: the output head."""


def check_quantization(quantization: str | None, name: str, config: Mapping[str, Any]) -> None:
    """Raise, without PyTorch, if bitsandbytes is not installed, or a model is quantised already by its config."""
    if quantization is None:
        return
    if find_spec("bitsandbytes") is None:
        raise QweftError(
            f"model.quantization {quantization} needs the package bitsandbytes; pip install '.[quantized]', or "
            "leave it out"
        )
    settings = config.get("quantization_config")
    if settings is None:
        return
    method = settings
    if isinstance(settings, Mapping):
        method = settings.get("quant_method", settings)
    raise QweftError(
        f"model {name} is quantised already (quant_method {short_repr(method)} in its config.json); leave "
        f"model.quantization {quantization} out"
    )


def quantization_scheme(quantization: str | None, dtype: "torch.dtype") -> "BitsAndBytesConfig | None":
    """Return what `from_pretrained` takes as `quantization_config`: NF4 in blocks of 64, or LLM.int8."""
    if quantization is None:
        return None
    from transformers import BitsAndBytesConfig

    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def mark_shapes(model: Any, scheme: "BitsAndBytesConfig") -> None:
    """Make the config of a model on the meta device say which layers loading would quantise."""
    from transformers.quantizers.base import HfQuantizer

    scheme.llm_int8_skip_modules = HfQuantizer.get_modules_to_not_convert(model)
    model.config.quantization_config = scheme


def quantization_in(settings: Mapping[str, Any]) -> str | None:
    """Return what a config's `quantization_config` asks of bitsandbytes: "4bit", "8bit", or `None`."""
    if settings.get("load_in_4bit"):
        return "4bit"
    if settings.get("load_in_8bit"):
        return "8bit"
    return None


def _settings_of(model: Any) -> dict[str, Any]:
    """Return the `quantization_config` of a model's config; empty where it has none."""
    settings = getattr(getattr(model, "config", None), "quantization_config", None) or {}
    if isinstance(settings, dict):
        return settings
    return dict(settings.to_dict())


def quantized_as(model: Any) -> str | None:
    """Return how a base model is quantised by bitsandbytes, as it loads or as it was saved: as `quantization_in`."""
    return quantization_in(_settings_of(model))


def bits_of(model: Any, name: str, module: Any) -> int | None:
    """Return the bits of a module's weight if the model's config says that bitsandbytes quantises it; else `None`."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if not isinstance(module, nn.Linear | Conv1D):
        return None
    skipped = _settings_of(model).get("llm_int8_skip_modules") or NOT_QUANTIZED
    if any(part in name for part in skipped):
        return None
    return BITS.get(quantized_as(model) or "")


def keep_unpacked(model: Any) -> Any:
    """Return the model with 4-bit layers that do not repack their weights, which rounds scales on some CPUs."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
