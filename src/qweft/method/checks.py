"""Checks of single values and names; each error states what is wrong, the value, and the way out."""

import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

from qweft.errors import QweftError
from qweft.method.peft_methods import fields_of
from qweft.text import near, shown

FORMS = {
    "rank_pattern": r"(.*\.)?({})$",
    "alpha_pattern": r"(.*\.)?({})$",
    "n_frequency_pattern": r"(.*\.)?({})$",
    "block_size_pattern": r".*\.{}$",
    "lambda_pattern": r"(.*\.)?({})$",
}
"""Fields of patterns, of which PEFT takes the first that matches a module, and its expression for each pattern."""
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


def check_whole(name: str, value: Any) -> None:
    """Raise unless the value is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise QweftError(f"{name} must be a whole number of at least 1, got {shown(value)}")


def check_number(name: str, value: Any) -> None:
    """Raise unless the value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise QweftError(f"{name} must be a number, got {shown(value)}")


def check_shared(values: Mapping[str, Any]) -> None:
    """Check the types of fields that methods share: names of modules, patterns, tokens and blocks."""
    for name in FORMS:
        patterns = values.get(name)
        if patterns is not None and not isinstance(patterns, dict):
            raise QweftError(f"{name} must map names to values, as {{name: value}}, got {shown(patterns)}")
        for pattern in patterns or {}:
            check_expression(name, pattern)
    for name in ("target_modules", "exclude_modules", "modules_to_save"):
        value = values.get(name)
        named = isinstance(value, list | tuple | set) and all(isinstance(item, str) for item in value)
        if value is not None and not named and not (isinstance(value, str) and name != "modules_to_save"):
            raise QweftError(f"{name} must be a list of names, as [q_proj, v_proj], got {shown(value)}")
    chosen = values.get("trainable_token_indices")
    for tokens in chosen.values() if isinstance(chosen, dict) else [] if chosen is None else [chosen]:
        if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
            raise QweftError(
                f"trainable_token_indices must be a list of token ids, or lists by module, got {shown(chosen)}"
            )
    blocks = values.get("layers_to_transform")
    if blocks is not None and not all(type(item) is int for item in (blocks if isinstance(blocks, list) else [blocks])):
        raise QweftError(f"layers_to_transform must be a block number or a list of them, got {shown(blocks)}")


def check_expression(name: str, value: Any) -> None:
    """Raise unless the value is a regular expression."""
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise QweftError(f"{name} {str(value)[:80]!r} is no regular expression: {error}") from error


def _adapted(config: Any, names: Collection[str]) -> Collection[str]:
    """Return the names of the modules that a config targets; all of them where PEFT chooses them by the model."""
    from peft.tuners.tuners_utils import check_target_module_exists

    if not getattr(config, "target_modules", None) or config.target_modules == "all-linear":
        return names
    return [name for name in names if check_target_module_exists(config, name)]


def check_order(config: Any, names: Collection[str]) -> None:
    """Check that each layer has the value of the same pattern before and after the config is saved.

    PEFT takes the first pattern that matches a layer, and its file has the patterns in alphabetical order.
    """
    for field, form in FORMS.items():
        patterns = getattr(config, field, None) or {}
        if len(patterns) < 2 or list(patterns) == sorted(patterns, key=str):
            continue
        try:
            forms = {text: re.compile(form.replace("{}", text)) for text in patterns}
        except re.error:  # PEFT says which
            continue
        for name in _adapted(config, names):
            matching = [text for text, form in forms.items() if form.match(name)]
            if matching and patterns[matching[0]] != patterns[min(matching)]:
                raise QweftError(
                    f"{field}: {name} matches {shown(matching[0])} and {shown(min(matching))}. The first one counts, "
                    f"and a saved adapter has them in alphabetical order. So {patterns[matching[0]]} would become "
                    f"{patterns[min(matching)]}; let each layer match one"
                )


def check_drawn_start(start: Any) -> None:
    """Raise for LoRA's start from a random decomposition, which PEFT makes anew at each load of the saved adapter."""
    if str(start).startswith("pissa") and len(str(start).split("_niter_")) > 1:  # as PEFT reads it
        raise QweftError(
            f"init_lora_weights {shown(start)} draws base weights at random whenever the adapter is loaded, so that it "
            "is another one each time; choose pissa, which draws nothing, or save it converted to a plain LoRA by PEFT"
        )


def instead_of(name: str) -> str | None:
    """Return the way out for a name of `LoraConfig`, or `None` if LoRA has no such name."""
    if name in INSTEAD:
        return INSTEAD[name]
    known = name in (fields_of("LORA") or ())
    return "it belongs to a variant of PEFT's LoRA that has no counterpart here; leave it out" if known else None


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
