"""From what a config file says of an adapter to a PEFT config, for this method and for PEFT's own."""

import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from peft import PeftConfig, TaskType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from qweft.adapter.checks import closest
from qweft.adapter.config import QwthnConfig
from qweft.errors import QweftError

LORA_ALPHA_FACTOR = 2
"""LoRA's alpha is twice its rank unless given, as it is for this method: both branches then start with one scale."""


def adapter_config(specification: Mapping[str, Any]) -> PeftConfig:
    """The PEFT config that a specification describes.

        {preset: qtha, r: 8}            QwthnConfig.preset("qtha", r=8)
        {peft_type: LORA, r: 8}         LoraConfig(r=8, lora_alpha=16)

    Raises:
        QweftError: If neither or both of `preset` and `peft_type` are given, if the method or a field is unknown, or if
            a value is refused by the config.
    """
    given = dict(specification)
    preset, method = given.pop("preset", None), given.pop("peft_type", None)
    if (preset is None) == (method is None):
        raise QweftError(
            f"adapter {dict(specification)}: give either preset (qtha, qwthn, ...) or peft_type (LORA, VERA, ...)"
        )
    for key, value in given.items():
        if not _is_finite(value):
            raise QweftError(f"adapter.{key} is {str(value)[:80]}; give a finite number")
    given.setdefault("task_type", TaskType.CAUSAL_LM)
    if preset is not None:
        return QwthnConfig.preset(str(preset), **given)
    name, config_class = str(method).upper(), peft_config_class(str(method))
    known = [entry.name for entry in fields(config_class) if entry.init]
    for key in given:
        if key not in known:
            raise QweftError(f"{config_class.__name__} has no field {key!r}{closest(key, known)}")
    rank = given.get("r", 8)
    if name == "LORA" and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        raise QweftError(f"r must be a whole number of at least 1, got {rank!r}")
    alpha = given.get("lora_alpha", 1)
    if name == "LORA" and (isinstance(alpha, bool) or not isinstance(alpha, int | float)):
        raise QweftError(f"lora_alpha must be a number, got {alpha!r}")
    if name == "LORA":
        given.setdefault("lora_alpha", LORA_ALPHA_FACTOR * rank)
    try:
        return config_class(**given)
    except (TypeError, ValueError, ImportError) as error:
        raise QweftError(f"adapter {dict(specification)}: {error}") from error


def _is_finite(value: Any) -> bool:
    """Whether all numbers in a value are numbers that a float can be."""
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, int | float) or abs(value) <= sys.float_info.max


def peft_config_class(method: str) -> type[PeftConfig]:
    """The config class of one of PEFT's methods.

    Raises:
        QweftError: If PEFT has no method of that name.
    """
    classes = {str(key.value): config_class for key, config_class in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    name = method.upper()
    if name not in classes:
        raise QweftError(
            f"PEFT has no method {method!r}{closest(name, classes)}; methods: {', '.join(sorted(classes))}"
        )
    return classes[name]
