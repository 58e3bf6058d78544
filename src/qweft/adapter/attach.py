"""An adapter put on a base model, after its target modules have been found there."""

import warnings
from typing import Any

from peft import PeftConfig, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.checks import closest
from qweft.errors import QweftError


def linear_names(model: nn.Module) -> list[str]:
    """The last parts of the names of the model's linear layers, each once, in the order of the model."""
    names = (
        name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)
    )
    return list(dict.fromkeys(names))


def check_targets(model: nn.Module, config: PeftConfig) -> None:
    """Find every name of the config's target modules in the model; PEFT is content when one of them is there.

    Raises:
        QweftError: Naming a module that is not there, and those that are.
    """
    targets = getattr(config, "target_modules", None)
    if targets is None or isinstance(targets, str):
        return
    present = {name for name, _ in model.named_modules()}
    for target in sorted(targets):
        if not any(name == target or name.endswith(f".{target}") for name in present):
            linear = linear_names(model)
            raise QweftError(
                f"target module {target!r} does not exist in the model{closest(target, linear)}; its linear layers are "
                f"{', '.join(linear)}"
            )


def attach(model: nn.Module, config: PeftConfig) -> Any:
    """The model with the adapter on it, as `peft.get_peft_model` makes it.

    Raises:
        QweftError: If a target module does not exist, or PEFT refuses the config on this model.
    """
    check_targets(model, config)
    try:
        with warnings.catch_warnings():
            # PEFT asks transformers for a property under its old name
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
            return get_peft_model(model, config)
    except (ValueError, TypeError, KeyError) as error:
        raise QweftError(f"the adapter cannot be put on this model: {error}") from error


def detach(adapted: Any) -> Any:
    """The base model without the adapter, as it was before."""
    base = adapted.unload()
    for leftover in ("peft_config", "_hf_peft_config_loaded"):
        if leftover in vars(base):
            delattr(base, leftover)
    return base
