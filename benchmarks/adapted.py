"""The embedded model with an adapter, and real text to feed it."""

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from qweft import QwthnConfig
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model

MODULES = ["q_proj", "v_proj"]
TEXT = Path(__file__).parents[1] / "docs" / "method.md"


@lru_cache(maxsize=1)
def base() -> LoadedModel:
    """SmolLM2-135M-Instruct, dequantised, in float32."""
    return load_model(ModelConfig(name="smollm2-135m-instruct", source="package", dtype="float32"))


RECORDED = {"width": 256, "bond_dimension": 8}
"""Sizes of the operators on record. The presets as they come have smaller ones."""


def config_of(kind: str, r: int, layers: int = 1, modules: Any = MODULES, **sizes: int) -> Any:
    """LoRA, or a preset of Qwthn, its operators of these sizes, on q_proj and v_proj or other modules."""
    if kind == "lora":
        return LoraConfig(r=r, lora_alpha=2 * r, target_modules=modules)
    circuit = {} if kind == "mpo" else {"circuit_layers": layers}
    return QwthnConfig.preset(kind, r=r, target_modules=modules, **sizes, **circuit)


def adapted(kind: str, r: int, layers: int = 1, modules: Any = MODULES, **sizes: int) -> Any:
    """A model of its own with that adapter, no part of it at zero; "base" has none and all weights frozen."""
    model = copy.deepcopy(base().model)
    if kind == "base":
        return model.requires_grad_(False)
    model = get_peft_model(model, config_of(kind, r, layers, modules, **sizes))
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad and not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def batch(rows: int, length: int) -> torch.Tensor:
    """Token ids of real text, (rows, length)."""
    ids = base().tokenizer(TEXT.read_text(), return_tensors="pt").input_ids[0]
    return ids[: rows * length].view(rows, length)
