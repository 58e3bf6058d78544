"""The exported LoRA as a second adapter of the same model: both can then be asked about the same text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.utils import ModulesToSaveWrapper

from qweft.adapter import QwthnConfig
from qweft.adapter.attach import quiet_peft
from qweft.export.linearise import layers_of
from qweft.export.lora import Lora, exactly


@contextmanager
def twin(model: Any, lora: Lora, adapter_name: str) -> Iterator[str]:
    """Put the LoRA beside the adapter, under the name that is given; afterwards it is gone.

    The preset "lora" computes what PEFT's LoRA does, and may stand in one model with the others.
    """
    name = "exported"
    while name in model.peft_config:
        name += "_"
    config = QwthnConfig.preset(
        "lora",
        r=lora.rank,
        alpha=lora.rank,
        target_modules=exactly(lora.down),
        modules_to_save=model.peft_config[adapter_name].modules_to_save,
    )
    with quiet_peft():
        model.add_adapter(name, config)
    try:
        _write(model, lora, name, adapter_name)
        yield name
    finally:
        model.set_adapter(adapter_name)
        model.delete_adapter(name)


@torch.no_grad()
def _write(model: Any, lora: Lora, name: str, adapter_name: str) -> None:
    """Give the twin the tensors of the LoRA, and what the adapter trained whole."""
    for layer_name, layer in layers_of(model, name).items():
        branch = layer.branch_of(name)
        (down,), (up,) = branch.compress.tensors(), branch.expand.tensors()
        down.copy_(lora.down[layer_name])
        up.copy_(lora.up[layer_name])
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper) and adapter_name in module.modules_to_save:
            module.modules_to_save[name].load_state_dict(module.modules_to_save[adapter_name].state_dict())


def read_twin(model: Any, lora: Lora, name: str) -> Lora:
    """The LoRA with the tensors that the twin has now."""
    branches = {layer_name: layer.branch_of(name) for layer_name, layer in layers_of(model, name).items()}
    return Lora(
        lora.rank,
        {key: branch.compress.tensors()[0].detach().clone() for key, branch in branches.items()},
        {key: branch.expand.tensors()[0].detach().clone() for key, branch in branches.items()},
        lora.whole,
    )
