"""Checks of single values and names; each error states what is wrong, the value, and the way out."""

import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.text import nearest_name, short_repr

PATTERNS = ("rank_pattern", "alpha_pattern", "n_frequency_pattern", "block_size_pattern", "lambda_pattern")
"""Fields of PEFT's configs that give layers values of their own, by regular expressions."""


def closest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" if a known name is close, else an empty string."""
    found = nearest_name(name, known)
    return f"; did you mean {found!r}?" if found else ""


def check_whole(name: str, value: Any, most: float = math.inf) -> None:
    """Raise unless the value is an integer from 1 to the most."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise QweftError(f"{name} must be a whole number of at least 1, got {short_repr(value)}")
    if value > most:
        raise QweftError(f"{name} must be at most {most}, got {value}")


def check_number(name: str, value: Any) -> None:
    """Raise unless the value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise QweftError(f"{name} must be a number, got {short_repr(value)}")


def check_shared(values: Mapping[str, Any]) -> None:
    """Check the types of fields that methods share: names of modules, patterns, tokens and blocks."""
    for name in PATTERNS:
        patterns = values.get(name)
        if patterns is not None and not isinstance(patterns, dict):
            raise QweftError(f"{name} must map names to values, as {{name: value}}, got {short_repr(patterns)}")
        for pattern in patterns or {}:
            check_expression(name, pattern)
    for name in ("target_modules", "exclude_modules", "modules_to_save"):
        value = values.get(name)
        named = isinstance(value, list | tuple | set) and all(isinstance(item, str) for item in value)
        if value is not None and not named and not (isinstance(value, str) and name != "modules_to_save"):
            raise QweftError(f"{name} must be a list of names, as [q_proj, v_proj], got {short_repr(value)}")
    chosen = values.get("trainable_token_indices")
    for tokens in chosen.values() if isinstance(chosen, dict) else [] if chosen is None else [chosen]:
        if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
            raise QweftError(
                f"trainable_token_indices must be a list of token ids, or lists by module, got {short_repr(chosen)}"
            )
    blocks = values.get("layers_to_transform")
    if blocks is not None and not all(type(item) is int for item in (blocks if isinstance(blocks, list) else [blocks])):
        raise QweftError(f"layers_to_transform must be a block number or a list of them, got {short_repr(blocks)}")


def check_expression(name: str, value: Any) -> None:
    """Raise unless the value is a regular expression."""
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise QweftError(f"{name} {str(value)[:80]!r} is no regular expression: {error}") from error


def check_drawn_start(start: Any) -> None:
    """Raise for LoRA's start from a random decomposition, which PEFT makes anew at each load of the saved adapter."""
    if str(start).startswith("pissa") and len(str(start).split("_niter_")) > 1:  # as PEFT reads it
        raise QweftError(
            f"init_lora_weights {short_repr(start)} draws base weights at random whenever the adapter is loaded, so "
            "that it is another one each time; choose pissa, which draws nothing, or save it converted to a plain LoRA "
            "by PEFT"
        )
