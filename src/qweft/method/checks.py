"""Checks of single values and names; each error states what is wrong, the value, and the way out."""

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from annotated_types import Ge

from qweft.errors import QweftError
from qweft.schema import Reader
from qweft.text import near, shown

PATTERNS = ("rank_pattern", "alpha_pattern", "n_frequency_pattern", "block_size_pattern", "lambda_pattern")
"""Fields of PEFT's configs that give layers values of their own, by regular expressions."""
Tokens = list[Annotated[int, Ge(0)]]
SHARED: dict[str, Any] = {
    "target_modules": list[str] | str | None,
    "exclude_modules": list[str] | str | None,
    "modules_to_save": list[str] | None,
    "trainable_token_indices": Tokens | dict[str, Tokens] | None,
    "layers_to_transform": list[int] | int | None,
    **dict.fromkeys(PATTERNS, dict[str, Any] | None),
}
"""Types of fields that the configs of methods share."""


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


def check_kinds(kinds: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise unless each value has the type and range of its field."""
    for name in kinds.keys() & values.keys():
        try:
            Reader(None).check(kinds[name], values[name], f"adapter.{name}")
        except QweftError as error:
            raise QweftError(str(error).removeprefix("--")) from None


def check_shared(values: Mapping[str, Any]) -> None:
    """Check fields that methods share: names of modules, patterns, tokens and blocks."""
    check_kinds(SHARED, values)
    for name in PATTERNS:
        for pattern in values.get(name) or {}:
            check_expression(name, pattern)


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
            f"init_lora_weights {shown(start)} draws base weights at random whenever the adapter is loaded, so that it "
            "is another one each time; choose pissa, which draws nothing, or save it converted to a plain LoRA by PEFT"
        )
