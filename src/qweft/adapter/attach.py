"""From a specification in a config file to a PEFT config; attaching and detaching the adapter."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from peft import PeftConfig, TaskType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.config import QwthnConfig
from qweft.core.errors import QweftError
from qweft.internals.peft import HAS_ADAPTERS
from qweft.method.checks import check_expression, closest
from qweft.method.resolved import default_alpha
from qweft.method.specification import check_method, check_specification, method_of


def adapter_config(specification: Mapping[str, Any]) -> PeftConfig:
    """Return the PEFT config of a specification, such as {preset: qtha, r: 8} or {peft_type: LORA, r: 8}."""
    check_specification(specification)
    given = {"task_type": TaskType.CAUSAL_LM, **specification}
    preset, method = given.pop("preset", None), given.pop("peft_type", None)
    try:
        if preset is not None:
            return QwthnConfig.preset(str(preset), **given)
        if method_of(specification) == "LORA":
            given.setdefault("lora_alpha", default_alpha(given.get("r", 8)))  # both methods then start with one scale
        return peft_config_class(str(method))(**given)
    except QweftError:
        raise
    except (TypeError, ValueError, ImportError) as error:
        raise QweftError(f"adapter {dict(specification)}: {error}") from error


def peft_config_class(method: str) -> type[PeftConfig]:
    """Return the config class of one of PEFT's methods."""
    classes = {str(key.value): config_class for key, config_class in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    check_method(method, sorted(classes))
    return classes[method.upper()]


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence the warning that PEFT reads a property of transformers by its old name, which users cannot change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        yield


def linear_names(model: nn.Module) -> list[str]:
    """Return the last parts of the names of the model's linear layers, each once, in the model's order."""
    linear = (name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D))
    return list(dict.fromkeys(name.rpartition(".")[2] for name in linear))


def check_targets(model: nn.Module, config: PeftConfig) -> None:
    """Check that the model has every module that the config names; PEFT is satisfied with one of them."""
    present = [name for name, _ in model.named_modules()]
    targets, whole = getattr(config, "target_modules", None), sorted(getattr(config, "modules_to_save", None) or [])
    way = f"its linear layers are {', '.join(linear_names(model))}"
    if isinstance(targets, str) and targets != "all-linear":
        check_expression("target_modules", targets)
        # of AdaptionPrompt it is how the attention's name ends, which PEFT looks for by itself
        if not config.is_adaption_prompt and not any(re.fullmatch(targets, name) for name in present):
            raise QweftError(f"the expression {targets!r} in target_modules matches no module of the model; {way}")
    named = [] if targets is None or isinstance(targets, str) else [("target module", name) for name in sorted(targets)]
    for kind, wanted in [*named, *(("module to save", name) for name in whole)]:
        if not any(name == wanted or name.endswith(f".{wanted}") for name in present):
            raise QweftError(
                f"{kind} {wanted!r} does not exist in the model{closest(wanted, linear_names(model))}; {way}"
            )


REFUSALS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, AssertionError)
"""Errors with which PEFT refuses a config, the last one of a PyTorch without CUDA."""


def attach(model: nn.Module, config: PeftConfig) -> Any:
    """Return the model with the adapter, as `peft.get_peft_model` makes it."""
    check_targets(model, config)
    try:
        with quiet_peft():
            return get_peft_model(model, config)
    except REFUSALS as error:
        way = f"; its linear layers are {', '.join(linear_names(model))}" if "target_modules" in str(error) else ""
        raise QweftError(f"the adapter cannot be put on this model: {error}{way}") from error


def base_of(model: Any) -> Any:
    """Return the model that an adapter is attached to, or a model without an adapter as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def detach(adapted: Any) -> Any:
    """Return the base model without the adapter."""
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
