"""How answers are given, as the page's fields say it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qweft.chat.config import ChatConfig
from qweft.errors import QweftError

SETTINGS: dict[str, type] = {"max_new_tokens": int, "temperature": float, "top_p": float, "seed": int}
"""Fields of `ChatConfig` that the page changes from question to question, and what they are."""


def settings_of(config: ChatConfig) -> dict[str, Any]:
    """The fields that the page shows."""
    return {name: getattr(config, name) for name in SETTINGS}


def with_settings(config: ChatConfig, given: Mapping[str, Any]) -> ChatConfig:
    """The config with what the page's fields say, checked.

    Args:
        config: As the command was given it.
        given: Names of `SETTINGS` and their values; an empty field is null.

    Raises:
        QweftError: If a field is unknown, no number, or a number that cannot be.
    """
    changes = {}
    for name, value in given.items():
        if name not in SETTINGS:
            raise QweftError(f"there is no setting {name}; there are {', '.join(SETTINGS)}")
        wanted = SETTINGS[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (wanted is int and value != int(value)):
            what = "a whole number" if wanted is int else "a number"
            raise QweftError(f"{name.replace('_', ' ')}: expected {what}, got {'nothing' if value is None else value}")
        changes[name] = wanted(value)
    changed: ChatConfig = replace(config, **changes)
    changed.check()
    return changed
