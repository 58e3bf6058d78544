"""A LoRA as tensors, and its folder in PEFT's format."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import pad
from transformers.pytorch_utils import Conv1D

from qweft.adapter.attach import base_of
from qweft.core.errors import QweftError

NAME = "default"
"""The adapter that is exported, among those that PEFT may hold on one model."""
PREFIX = "base_model.model."
"""What PEFT writes before the names of layers."""


@dataclass(frozen=True)
class Lora:
    """A LoRA y = W0 x + B A x of one rank; B holds the scaling, so lora_alpha equals the rank."""

    rank: int
    down: Mapping[str, torch.Tensor]  # A (r, d_in) by layer name
    up: Mapping[str, torch.Tensor]  # B (d_out, r) by layer name
    whole: Mapping[str, torch.Tensor]  # tensors of `modules_to_save` by their names

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

    @classmethod
    def of(cls, pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]], whole: Mapping[str, torch.Tensor]) -> "Lora":
        """Return that of A and B by layer name, padded to the largest rank: A with zero rows, B with zero columns."""
        rank = max(len(down) for down, _ in pairs.values())
        down = {name: pad(down, (0, 0, 0, rank - len(down))) for name, (down, _) in pairs.items()}
        up = {name: pad(up, (0, rank - up.shape[1])) for name, (_, up) in pairs.items()}
        return cls(rank, down, up, whole)

    def first(self, rank: int) -> "Lora":
        """Return the LoRA of the first products alone."""
        down = {name: tensor[:rank] for name, tensor in self.down.items()}
        up = {name: tensor[:, :rank] for name, tensor in self.up.items()}
        return Lora(min(rank, self.rank), down, up, self.whole)

    def changes(self) -> dict[str, torch.Tensor]:
        """Return the change (d_out, d_in) of each layer's weight."""
        return {name: self.up[name] @ down for name, down in self.down.items()}


def tuner_layers(model: Any) -> dict[str, Any]:
    """Return the layers that an adapter changes by their names in the base model."""
    base: nn.Module = base_of(model)
    return {name: each for name, each in base.named_modules() if isinstance(each, BaseTunerLayer)}


def lora_config(lora: Lora, model: nn.Module, adapter: PeftConfig, hub_id: str | None = None) -> LoraConfig:
    """Return the PEFT config of an exported LoRA for a base model, which is named as the adapter does or by hub id."""
    layers: list[Any] = [model.get_submodule(name) for name in lora.down]
    weights = [getattr(each, "base_layer", each) for each in layers]
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.rank,
        lora_dropout=0.0,
        target_modules=_target_names(lora.down, model),
        modules_to_save=sorted(getattr(adapter, "modules_to_save", None) or []) or None,
        fan_in_fan_out=any(isinstance(each, Conv1D) for each in weights),
        task_type=adapter.task_type,
        base_model_name_or_path=hub_id or adapter.base_model_name_or_path,
        revision=getattr(adapter, "revision", None),
        inference_mode=True,
    )


def _target_names(layers: Collection[str], model: nn.Module) -> list[str]:
    """Return the last parts of the names of these layers or, if other layers of a model have them too, the names."""
    ends = {name.rpartition(".")[2] for name in layers}
    meant = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in ends}
    return sorted(ends if meant == set(layers) else layers)


def write_lora(folder: Path, lora: Lora, config: LoraConfig) -> None:
    """Write a LoRA to an existing folder, in PEFT's format."""
    config.save_pretrained(str(folder))
    save_file(lora.tensors(), folder / "adapter_model.safetensors", metadata={"format": "pt"})


def plain_lora(model: Any) -> Lora:
    """Return an adapter of PEFT's LoRA as one rank, with its scaling inside B."""
    pairs = {}
    for name, layer in tuner_layers(model).items():
        if NAME not in layer.lora_A or layer.lora_variant.get(NAME) is not None:
            raise QweftError(f"layer {name}: its LoRA is no product of two matrices; give --to merged")
        a, b = layer.lora_A[NAME].weight.detach(), layer.lora_B[NAME].weight.detach()
        pairs[name] = a, b * layer.scaling[NAME]
    return Lora.of(pairs, trained_whole(model))


def trained_whole(model: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of fully trained modules (`modules_to_save`) by their names in the base model."""
    base: nn.Module = base_of(model)
    return {
        f"{name}.{key}": tensor
        for name, module in base.named_modules()
        if isinstance(module, ModulesToSaveWrapper) and NAME in module.modules_to_save
        for key, tensor in module.modules_to_save[NAME].state_dict().items()
    }
