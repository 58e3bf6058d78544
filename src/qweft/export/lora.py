"""A LoRA as tensors, and as the folder that every program which knows LoRA can load."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from safetensors.torch import save_file
from torch import nn

from qweft.files import write_json

PREFIX = "base_model.model."
FILES = {"adapter_config.json", "adapter_model.safetensors", "README.md", "export.json"}
"""All that a folder holds."""


@dataclass(frozen=True)
class Lora:
    """y = W0 x + B A x on each layer, of one rank everywhere.

    The scaling is inside B, so lora_alpha is the rank: programs that read one rank and one alpha for all layers, and
    programs that read the rank off each tensor, come to the same.

    Args:
        rank: r.
        down: A (r, d_in) by layer name.
        up: B (d_out, r) by layer name.
        whole: Further trained tensors, by the names they have in the model (`modules_to_save`).
    """

    rank: int
    down: Mapping[str, torch.Tensor]
    up: Mapping[str, torch.Tensor]
    whole: Mapping[str, torch.Tensor]

    def tensors(self) -> dict[str, torch.Tensor]:
        """By the keys of PEFT's files, float32."""
        found = {f"{PREFIX}{name}.lora_A.weight": tensor for name, tensor in self.down.items()}
        found |= {f"{PREFIX}{name}.lora_B.weight": tensor for name, tensor in self.up.items()}
        found |= {f"{PREFIX}{name}": tensor for name, tensor in self.whole.items()}
        return {key: tensor.detach().float().cpu().contiguous() for key, tensor in found.items()}


def padded(down: torch.Tensor, up: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B with zero rows and columns up to the rank."""
    missing = rank - len(down)
    return torch.nn.functional.pad(down, (0, 0, 0, missing)), torch.nn.functional.pad(up, (0, missing))


def lora_config(lora: Lora, model: nn.Module, adapter: PeftConfig, fan_in_fan_out: bool) -> LoraConfig:
    """The config of the exported adapter.

    Args:
        lora: The adapter.
        model: The base model with the exported layers in it, by the names of `lora`.
        adapter: The config of the adapter that it stands for.
        fan_in_fan_out: Whether the layers keep their weights as (d_in, d_out), as GPT-2's do.
    """
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.rank,
        lora_dropout=0.0,
        target_modules=target_names(lora.down, [name for name, _ in model.named_modules()]),
        modules_to_save=sorted(getattr(adapter, "modules_to_save", None) or []) or None,
        fan_in_fan_out=fan_in_fan_out,
        task_type=adapter.task_type,
        base_model_name_or_path=adapter.base_model_name_or_path,
        revision=getattr(adapter, "revision", None),
        inference_mode=True,
    )


def target_names(layers: Iterable[str], present: Iterable[str]) -> list[str] | str:
    """The shortest way to say these layers of a model and no others: last parts of names, else whole names.

    Whole names are suffixes to PEFT; where that would mean another layer too, they come as an expression.

    >>> target_names(["a.0.q", "a.1.q"], ["a.0.q", "a.0.k", "a.1.q"])
    ['q']
    >>> target_names(["a.0.q"], ["a.0.q", "a.1.q"])
    ['a.0.q']
    >>> target_names(["q"], ["q", "a.q"])
    'q'
    """
    wanted, everything = sorted(layers), list(present)
    for names in (sorted({name.rpartition(".")[2] for name in wanted}), wanted):
        meant = {name for name in everything if any(name == end or name.endswith(f".{end}") for end in names)}
        if meant == set(wanted):
            return names
    return exactly(wanted)


def exactly(layers: Iterable[str]) -> str:
    """An expression that matches these names and no others."""
    return "|".join(map(re.escape, sorted(layers)))


def write_lora(folder: Path, lora: Lora, config: LoraConfig, card: str, report: Mapping[str, Any]) -> None:
    """Write `FILES` into a folder that exists."""
    config.save_pretrained(str(folder))
    save_file(lora.tensors(), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "README.md").write_text(card, encoding="utf-8")
    write_json(folder / "export.json", report)
