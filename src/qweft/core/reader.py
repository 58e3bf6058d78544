"""Strict checks of values against a config dataclass, with errors that name the key, the value and the way out."""

import json
from collections.abc import Collection
from dataclasses import MISSING, asdict, is_dataclass
from functools import cache
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.schema import (
    SHORT_NAMES,
    allows_none,
    choices,
    dotted_name,
    field_default,
    field_types,
    is_leaf,
    is_mapping,
    keys_of,
    list_of_sections,
    option_name,
    text_field,
    value_type,
)
from qweft.core.text import nearest_name, shorten

MAPPING = "should be a mapping of keys to values"
LIST = "should be a list of texts or mappings"
LIKENESS = 0.75
"""How similar a name must be to be suggested, from 0 to 1."""


@cache
def pydantic_adapter(kind: Any) -> Any:
    """Return what checks a value of a type by pydantic, strictly."""
    from pydantic import ConfigDict, TypeAdapter  # here: the import takes 0.15 s, which `qweft --help` avoids

    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


class Reader:
    """Checks values against a config class; errors name the file, or the option of a command line."""

    def __init__(self, root: Any, file: str | None = None, flags: Collection[str] = ()) -> None:
        self.root = root  # the config class
        self.file = file  # or what else the values come from; `None` means the command line
        self.flags = flags  # options that are no keys of the config, to be suggested too

    def check(self, kind: Any, value: Any, name: str, source: Any = MISSING) -> Any:
        """Return a value converted to a type; in sections, check every key and value. Errors quote the source."""
        if kind is Any:
            return value
        quoted = value if source is MISSING else source
        if is_dataclass(kind) or is_mapping(kind):
            return self._check_section(kind, value, name, quoted)
        entry = list_of_sections(kind)
        if entry is not None:
            return self._check_entries(kind, entry, value, name, quoted)
        return self._check_leaf(kind, value, name, quoted)

    def _check_section(self, kind: Any, value: Any, name: str, quoted: Any) -> dict[str, Any]:
        """Check a section or a dict; a text may stand for a section, and nothing for one with all keys left out."""
        first_field = text_field(kind)
        if isinstance(value, str) and first_field is not None:
            value = {first_field: value}
        if value is None and is_dataclass(kind):  # all of its keys are commented out
            value = {}
        if not isinstance(value, dict):
            raise self.wrong_value(name, MAPPING, quoted)
        checked = {}
        for key, below in value.items():
            full_name = dotted_name(name, str(key))
            checked[str(key)] = self.check(self.type_below(kind, str(key), full_name), below, full_name)
        return checked

    def _check_entries(self, kind: Any, entry: Any, value: Any, name: str, quoted: Any) -> list[Any] | None:
        """Check a list of sections, each as a whole."""
        if value is None and allows_none(kind):
            return None
        if not isinstance(value, list):
            raise self.wrong_value(name, LIST, quoted)
        checked = []
        for index, section in enumerate(value):
            full_name = f"{name}[{index}]"
            keys = self.check(entry, section, full_name)
            build(entry, keys, self.file or "command line", full_name)  # raises for a missing key
            checked.append(keys)
        return checked

    def _check_leaf(self, kind: Any, value: Any, name: str, quoted: Any) -> Any:
        """Check the value of one option by pydantic."""
        from pydantic import ValidationError

        if value is False and "no" in choices(kind):  # what YAML makes of a plain no
            value = "no"
        try:
            return pydantic_adapter(kind).validate_python(value)
        except ValidationError as error:
            reasons = [detail["msg"].removeprefix("Input ") for detail in error.errors()]
            raise self.wrong_value(name, " or ".join(dict.fromkeys(reasons)), quoted) from None

    def type_below(self, kind: Any, key: str, name: str) -> Any:
        """Return the type of a key below a type; raises if there is no such key."""
        if kind is Any:
            return Any
        if is_mapping(kind):
            return value_type(kind)
        types = field_types(kind)
        if key not in types:
            raise self.unknown_key(name, types)
        return types[key]

    def error(self, name: str, reason: str) -> QweftError:
        """Return the error for a key, with where its value comes from."""
        return QweftError(f"{self.file}: {name}: {reason}" if self.file else f"--{option_name(name)}: {reason}")

    def wrong_value(self, name: str, reason: str, value: Any) -> QweftError:
        """Return the error for a value."""
        return self.error(name, f"{reason}, got {format_json(value)}")

    def unknown_key(self, name: str, known: Collection[str]) -> QweftError:
        """Return the error for an unknown name, with one whose last part is like its own, or those known there."""
        problem = f"{self.file}: unknown key {name}" if self.file else f"unknown option --{name}"
        section, _, key = name.rpartition(".")
        if key == "trust_remote_code":
            return QweftError(f"{problem}: no file can let code run; read that code, then give --trust-remote-code")
        suggestion = self._suggest(section, key, known)
        if suggestion is not None:
            option = suggestion if self.file else f"--{option_name(suggestion)}"
            return QweftError(f"{problem}; did you mean {option}?")
        if not known:
            return QweftError(problem)
        listed = known if self.file or section else map(option_name, known)
        return QweftError(f"{problem}; known here: {', '.join(listed)}")

    def _suggest(self, section: str, key: str, known: Collection[str]) -> str | None:
        """Return the name of the whole config whose last part is like a key, first of all among those beside it."""
        names = [dotted_name(section, sibling) for sibling in known]
        names += [option.name for option in keys_of(self.root) if option.is_option]
        names += self.flags
        by_last_part: dict[str, str] = {}
        for name in names:
            by_last_part.setdefault(name.rpartition(".")[2], name)
        candidates = [*by_last_part, *SHORT_NAMES.values()]
        nearest = nearest_name(SHORT_NAMES.get(key, key), candidates, cutoff=LIKENESS)
        return None if nearest is None else by_last_part.get(nearest, nearest)


def check_values(config: Any, name: str) -> None:
    """Raise unless a config section of this name, perhaps made in Python, holds what a file could give."""
    try:
        Reader(type(config)).check(type(config), asdict(config), name)
    except QweftError as error:
        raise QweftError(str(error).removeprefix("--")) from None


def build(kind: Any, tree: Any, origin: str, name: str = "") -> Any:
    """Return the dataclass (or field `name`) of a checked tree; an error names the file or the command."""
    if is_leaf(kind):
        return tree
    if is_mapping(kind):
        section = value_type(kind)
        return {key: build(section, below, origin, dotted_name(name, key)) for key, below in tree.items()}
    types = field_types(kind)
    for key, field_type in types.items():
        if key not in tree and field_default(kind, key) is MISSING:
            noun = "key" if is_leaf(field_type) else "section"
            raise QweftError(f"{origin}: missing required {noun} {dotted_name(name, key)}")
    fields = {key: build(types[key], below, origin, dotted_name(name, key)) for key, below in tree.items()}
    return kind(**fields)


def format_json(value: Any) -> str:
    """Return a value as JSON, shortened to 60 characters."""
    return shorten(json.dumps(value, ensure_ascii=False, default=str), 60)
