"""A LoRA as tensors, and its folder in PEFT's format."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.attach import base_of
from qweft.errors import QweftError

PREFIX = "base_model.model."
"""What PEFT writes before the names of layers."""


@dataclass(frozen=True)
class Lora:
    """A LoRA, y = W0 x + B A x on each layer, with one rank, and the scaling in B: lora_alpha equals the rank.

    A (r, d_in) is `down` and B (d_out, r) `up`, by layer name; `whole` are tensors of `modules_to_save` by their names.
    """

    rank: int
    down: Mapping[str, torch.Tensor]
    up: Mapping[str, torch.Tensor]
    whole: Mapping[str, torch.Tensor]

    @property
    def parameters(self) -> int:
        """Number of its parameters, with those of fully trained modules."""
        return sum(tensor.numel() for part in (self.down, self.up, self.whole) for tensor in part.values())

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all tensors in float32 on the CPU, by the keys of PEFT's files."""
        found = {f"{PREFIX}{name}.lora_A.weight": tensor for name, tensor in self.down.items()}
        found |= {f"{PREFIX}{name}.lora_B.weight": tensor for name, tensor in self.up.items()}
        found |= {f"{PREFIX}{name}": tensor for name, tensor in self.whole.items()}
        return {key: tensor.detach().float().cpu().contiguous() for key, tensor in found.items()}

    def changes(self, layers: Mapping[str, Any]) -> Iterator[tuple[str, Any, torch.Tensor]]:
        """Yield each layer's name, the layer, and the change (d_out, d_in) of its weight."""
        for name, down in self.down.items():
            yield name, layers[name], self.up[name] @ down


def padded(down: torch.Tensor, up: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A and B padded to the rank, A with zero rows and B with zero columns."""
    missing = rank - len(down)
    return torch.nn.functional.pad(down, (0, 0, 0, missing)), torch.nn.functional.pad(up, (0, missing))


def lora_config(lora: Lora, model: nn.Module, adapter: PeftConfig, hub_id: str | None = None) -> LoraConfig:
    """Return the PEFT config of an exported LoRA for a base model, which is named as the adapter does or by hub id."""
    layers: list[Any] = [model.get_submodule(name) for name in lora.down]
    weights = [each.get_base_layer() if isinstance(each, BaseTunerLayer) else each for each in layers]
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.rank,
        lora_dropout=0.0,
        target_modules=target_names(lora.down, [name for name, _ in model.named_modules()]),
        modules_to_save=sorted(getattr(adapter, "modules_to_save", None) or []) or None,
        fan_in_fan_out=any(isinstance(each, Conv1D) for each in weights),
        task_type=adapter.task_type,
        base_model_name_or_path=hub_id or adapter.base_model_name_or_path,
        revision=getattr(adapter, "revision", None),
        inference_mode=True,
    )


def target_names(layers: Iterable[str], present: Iterable[str]) -> list[str] | str:
    """Return the shortest value of `target_modules` that matches exactly these layers.

    That is the last parts of the names or, if these match other layers, the whole names. PEFT treats whole names as
    suffixes; if these match other layers too, the result is a regular expression.

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
    return "|".join(map(re.escape, wanted))


def write_lora(folder: Path, lora: Lora, config: LoraConfig) -> None:
    """Write a LoRA to an existing folder, in PEFT's format."""
    config.save_pretrained(str(folder))
    save_file(lora.tensors(), folder / "adapter_model.safetensors", metadata={"format": "pt"})


def plain_lora(model: Any, adapter_name: str = "default") -> Lora:
    """Return an adapter of PEFT's LoRA as one rank, with its scaling inside B."""
    base: nn.Module = model.get_base_model()
    layers: dict[str, Any] = {name: each for name, each in base.named_modules() if isinstance(each, LoraLayer)}
    rank = max(len(layer.lora_A[adapter_name].weight) for layer in layers.values() if adapter_name in layer.lora_A)
    down, up = {}, {}
    for name, layer in layers.items():
        if adapter_name not in layer.lora_A or layer.lora_variant.get(adapter_name) is not None:
            raise QweftError(f"layer {name}: its LoRA is no product of two matrices; give --to merged")
        a, b = layer.lora_A[adapter_name].weight.detach(), layer.lora_B[adapter_name].weight.detach()
        down[name], up[name] = padded(a, b * layer.scaling[adapter_name], rank)
    return Lora(rank, down, up, trained_whole(model, adapter_name))


def trained_whole(model: Any, adapter_name: str) -> dict[str, torch.Tensor]:
    """Return the tensors of fully trained modules (`modules_to_save`) by their names in the base model."""
    base: nn.Module = base_of(model)
    return {
        f"{name}.{key}": tensor
        for name, module in base.named_modules()
        if isinstance(module, ModulesToSaveWrapper) and adapter_name in module.modules_to_save
        for key, tensor in module.modules_to_save[adapter_name].state_dict().items()
    }
