"""Checks of single values and names; each error states what is wrong, the value, and the way out."""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

from peft import LoraConfig

from qweft.errors import QweftError
from qweft.text import near

INSTEAD = {
    "lora_alpha": "it is called alpha here",
    "lora_dropout": "it is called dropout here",
    "init_lora_weights": "it is called init_weights here",
    "use_rslora": "choose alpha yourself; the branch is scaled by alpha / r",
    "use_dora": "DoRA normalises a merged weight, which a branch with a circuit has not",
    "target_parameters": "the branch adapts linear layers, not bare parameters",
    "layer_replication": "repeat the layers of the base model before the adapter is put on",
    "megatron_config": "Megatron's parallel layers are not adapted",
    "megatron_core": "Megatron's parallel layers are not adapted",
    "fan_in_fan_out": "it is found out from the layer",
    "lora_bias": "the branch has no bias; train the layer's own with bias",
    "ensure_weight_tying": "a branch beside a tied layer is its own; what is trained whole stays tied as PEFT ties it",
}
"""What to do instead, for each name of LoRA's that this method lacks."""
Config = TypeVar("Config", bound=type)


def closest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" if a known name is close, else an empty string."""
    found = near(name, known)
    return f"; did you mean {found[0]!r}?" if found else ""


def shown(value: Any) -> str:
    """Return the repr of a value, cut to 120 characters."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def check_whole(name: str, value: Any) -> None:
    """Raise unless the value is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise QweftError(f"{name} must be a whole number of at least 1, got {shown(value)}")


def check_number(name: str, value: Any) -> None:
    """Raise unless the value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise QweftError(f"{name} must be a number, got {shown(value)}")


def check_expression(name: str, value: Any) -> None:
    """Raise unless the value is a regular expression."""
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise QweftError(f"{name} {str(value)[:80]!r} is no regular expression: {error}") from error


def instead_of(name: str) -> str | None:
    """Return the way out for a name of `LoraConfig`, or `None` if LoRA has no such name."""
    if name in INSTEAD:
        return INSTEAD[name]
    known = {entry.name for entry in fields(LoraConfig)}
    return (
        "it belongs to a variant of PEFT's LoRA that has no counterpart here; leave it out" if name in known else None
    )


def answers_lora_names(config_class: Config) -> Config:
    """Make a config dataclass reject names of `LoraConfig` with the way out; the signature stays the same."""
    made: Callable[..., None] = config_class.__init__  # type: ignore[misc]
    own = {entry.name for entry in fields(config_class)}

    @wraps(made)
    def initialise(self: Any, *args: Any, **given: Any) -> None:
        for name in given.keys() - own:
            if instead := instead_of(name):
                raise TypeError(f"{config_class.__name__} got an unexpected keyword argument {name!r}: {instead}")
        made(self, *args, **given)

    config_class.__init__ = initialise  # type: ignore[misc]
    return config_class
