"""The config of a given number of trained parameters."""

from collections import Counter
from dataclasses import replace
from typing import Any, TypeVar

from peft.tuners.tuners_utils import BaseTunerLayer, check_target_module_exists
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.branch import count_parameters
from qweft.errors import QweftError
from qweft.method.fields import QwthnFields
from qweft.text import shown

Config = TypeVar("Config", bound=QwthnFields)
WITHOUT_HEAD = ("CAUSAL_LM", "SEQ_2_SEQ_LM", "FEATURE_EXTRACTION")
"""Tasks for which PEFT trains no head beside the adapter."""
HALVINGS = 40
"""Halvings of the range of shares, until the last is finer than one output of any layer."""


def largest_share(model: Any, numbers: int, config: Config) -> Config:
    """Return a config of sparse maps with the largest share of outputs, up to its own, that a budget allows."""
    if not isinstance(model, nn.Module) or any(isinstance(each, BaseTunerLayer) for each in model.modules()):
        raise QweftError(f"for_budget counts on a loaded model without adapters, got {shown(model)}")
    _check_counted(config)
    sizes = _sizes(model, config)

    def count(share: float) -> int:
        at = replace(config, share=share)
        return sum(many * sum(count_parameters(at, *size).values()) for size, many in sizes.items())

    low, high = 0.0, config.share
    if numbers < (least := count(1e-9)):
        raise QweftError(
            f"a budget of {numbers:,} trained parameters is below the {least:,} that one output of each of the "
            f"{sizes.total()} layers takes; give more, or name fewer layers by target_modules"
        )
    if numbers >= count(high):
        return config
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) <= numbers else (low, middle)
    return replace(config, share=low)


def _check_counted(config: QwthnFields) -> None:
    """Raise if a config trains more than its maps, or has other maps."""
    counted = {"expand": "sparse", "bias": "none"}
    counted |= dict.fromkeys(("rank_pattern", "modules_to_save", "trainable_token_indices"), "")
    others = [name for name, usual in counted.items() if getattr(config, name) not in (usual, None, [], {})]
    if getattr(config, "task_type", None) not in (None, *WITHOUT_HEAD):  # PEFT trains the others' heads whole
        others.append("task_type")
    if config.target_modules is None:
        others.append("target_modules")
    if others:
        raise QweftError(f"a budget counts sparse maps alone, and {others[0]} changes what is trained; leave it out")


def _sizes(model: Any, config: QwthnFields) -> Counter[tuple[int, int]]:
    """Return (d_in, d_out) of the layers that a config adapts, with their number."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    if config.target_modules == "all-linear":  # but the output head, as PEFT takes it
        config = replace(config, target_modules=[name for name in linear if linear[name] is not head])
    found: Counter[tuple[int, int]] = Counter()
    for name, module in linear.items():
        if check_target_module_exists(config, name):
            size = (module.in_features, module.out_features) if isinstance(module, nn.Linear) else module.weight.shape
            found[size[0], size[1]] += 1
    if not found:
        raise QweftError(f"{type(model).__name__} has no linear layer that target_modules name")
    return found
