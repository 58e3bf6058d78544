"""An adapter in the weights of its base model, by PEFT's own merge."""

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from qweft.adapter.attach import REFUSALS, attach, base_of
from qweft.core.errors import QweftError
from qweft.exporting.lora import Lora, tuner_layers

CausalLM: Any = AutoModelForCausalLM
WRAPPERS = re.compile(r"\.(base_layer|original_module|modules_to_save\.default)(?=\.)")
"""What PEFT puts into the names of a model's own weights."""


def with_lora(base: Any, lora: Lora, config: LoraConfig) -> Any:
    """Return a base model with a LoRA on it."""
    model = attach(base, config)
    set_peft_model_state_dict(model, lora.tensors())
    return model.eval()


def merged(model: Any) -> Any:
    """Return the base model with its adapter in the weights, which are computed in float32 and rounded once."""
    base: Any = base_of(model)
    types = {WRAPPERS.sub("", name): each.dtype for name, each in base.named_parameters(remove_duplicate=False)}
    for layer in tuner_layers(model).values():
        layer.float()
    _add_biases(base, tuner_layers(model))
    with _told():
        found = model.merge_and_unload(safe_merge=True)
    for name, each in found.named_parameters():
        each.data = each.data.to(types.get(name, found.dtype))
    return found.eval()


@torch.no_grad()
def changes(model: Any) -> dict[str, torch.Tensor]:
    """Return the change (d_out, d_in), in float32, of each linear layer that an adapter changes."""
    found = {}
    for name, layer in tuner_layers(model).items():
        made = copy.deepcopy(layer).float()  # the layer itself stays as it is
        before: Any = copy.deepcopy(made.get_base_layer())
        if not isinstance(before, nn.Linear | Conv1D):
            raise QweftError(f"layer {name} is a {type(before).__name__}, and a LoRA changes linear layers alone")
        with _told():
            made.merge(safe_merge=True)
        after = made.get_base_layer()
        if before.bias is not None and not torch.equal(before.bias, after.bias):
            raise QweftError(f"the adapter changes the bias of layer {name}, and a LoRA changes none")
        change = after.weight - before.weight
        found[name] = change.T if isinstance(before, Conv1D) else change
    return found


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except QweftError:
        raise
    except (*REFUSALS, AttributeError, NotImplementedError) as error:
        raise QweftError(f"PEFT does not merge this adapter: {' '.join(str(error).split())[:300]}") from error


def _add_biases(base: Any, layers: dict[str, Any]) -> None:
    """Give a model the zero biases that an adapter (BEFT) trains and its family has by config."""
    if not any(hasattr(each, "beft_bias") and each.get_base_layer().bias is None for each in layers.values()):
        return
    flags = {name: True for name in ("attention_bias", "mlp_bias") if getattr(base.config, name, None) is False}
    base.config.update(flags)
    with torch.device("meta"):
        shapes = {name: each.shape for name, each in CausalLM.from_config(base.config).named_parameters()}
    for name in shapes:
        place, _, last = name.rpartition(".")
        layer: Any = base.get_submodule(place)
        layer = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer
        if last == "bias" and getattr(layer, "bias", None) is None:
            layer.bias = nn.Parameter(layer.weight.new_zeros(shapes[name]))
