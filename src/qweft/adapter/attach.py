"""An adapter put on a base model, after its target modules have been found there."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peft import PeftConfig, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.checks import closest
from qweft.errors import QweftError
from qweft.internals.transformers import HAS_ADAPTERS


@contextmanager
def quiet_peft() -> Iterator[None]:
    """PEFT asks transformers for a property under its old name; that is nothing to warn our users of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        yield


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
    present = [name for name, _ in model.named_modules()]
    targets = getattr(config, "target_modules", None)
    if isinstance(targets, str) and targets != "all-linear":
        if not any(_matches(targets, name) for name in present):
            raise QweftError(
                f"the expression {targets!r} in target_modules matches no module of the model; its linear layers are "
                f"{', '.join(linear_names(model))}: give a list of names, as [q_proj]"
            )
        targets = None
    named = [] if targets is None or isinstance(targets, str) else [("target module", name) for name in sorted(targets)]
    named += [("module to save", name) for name in sorted(getattr(config, "modules_to_save", None) or [])]
    for kind, wanted in named:
        if not any(name == wanted or name.endswith(f".{wanted}") for name in present):
            linear = linear_names(model)
            raise QweftError(
                f"{kind} {wanted!r} does not exist in the model{closest(wanted, linear)}; its linear layers are "
                f"{', '.join(linear)}"
            )


def _matches(expression: str, name: str) -> bool:
    try:
        return re.fullmatch(expression, name) is not None
    except re.error as error:
        raise QweftError(f"target_modules {expression!r} is no regular expression: {error}") from error


def attach(model: nn.Module, config: PeftConfig) -> Any:
    """The model with the adapter on it, as `peft.get_peft_model` makes it.

    Raises:
        QweftError: If a target module does not exist, or PEFT refuses the config on this model.
    """
    check_targets(model, config)
    try:
        with quiet_peft():
            return get_peft_model(model, config)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise QweftError(f"the adapter cannot be put on this model: {error}") from error


def detach(adapted: Any) -> Any:
    """The base model without the adapter.

    Raises:
        QweftError: If the method cannot be taken off (prompt learning).
    """
    try:
        base = adapted.unload()
    except AttributeError as error:
        raise QweftError(
            f"{type(adapted.active_peft_config).__name__} cannot be taken off a model again, so it cannot be compared "
            "on a shared base model"
        ) from error
    for leftover in ("peft_config", HAS_ADAPTERS):
        if leftover in vars(base):
            delattr(base, leftover)
    return base
