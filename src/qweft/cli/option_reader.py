"""`OptionReader`: the options of a command line, checked and set in the tree of a config."""

import re
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from qweft.core import yaml_file
from qweft.core.reader import Reader, format_json
from qweft.core.schema import (
    ALTERNATIVES,
    allows_none,
    field_default,
    field_types,
    is_leaf,
    is_mapping,
    option_name,
)

WORDS_WITH_COMMAS = re.compile(r"[\w.*-]+(\s*,\s*[\w.*-]+)+")
"""A list typed without brackets, where any value is allowed."""


class OptionReader(Reader):
    """Checks the options of a command line, and sets each in a checked tree."""

    def put(self, tree: dict[str, Any], typed: str, text: str | None) -> None:
        """Set one option in a checked tree, whose other keys stay; fields may be typed with hyphens.

        A dict of dataclasses (`methods`) accepts options only for entries that it has, so that a mistyped method is an
        error and not a new method. A dict that is not in the tree starts from its default.
        """
        *sections, last = typed.split(".")
        kind = self.root
        name = ""
        for section in sections:
            above = kind
            key = _field_name(above, section)
            name = f"{name}.{section}" if name else section
            kind = self.type_below(above, key, name) if above is not Any else Any
            tree = self._section(tree, above, kind, key, name)
            if not isinstance(tree, dict):
                raise self.error(typed, f"{name} is {format_json(tree)} and has no keys")
        key = _field_name(kind, last)
        kind = self.type_below(kind, key, typed) if kind is not Any else Any
        if text is None:
            raise self.error(typed, "expected a value after it")
        tree.pop(ALTERNATIVES.get(key, ""), None)
        tree[key] = self.typed(kind, text, typed)

    def _section(self, tree: dict[str, Any], above: Any, kind: Any, key: str, name: str) -> Any:
        """Return what the tree has at a key of a type, made from the default where it has nothing."""
        if key in tree:
            return tree[key]
        if is_mapping(above) and is_dataclass(kind):
            raise self.unknown_key(name, tree)
        default = field_default(above, key) if is_dataclass(above) else None
        tree[key] = default if isinstance(default, dict) else {}
        return tree[key]

    def typed(self, kind: Any, text: str, name: str) -> Any:
        """Return the checked value of an option's text."""
        value = self._value(kind, text, name)
        quoted = text if is_leaf(kind) and not is_mapping(kind) else value
        return self.check(kind, value, name, quoted)

    def _value(self, kind: Any, text: str, name: str) -> Any:
        """Return the value in a text: YAML, except for texts and words; a list needs no brackets."""
        option = f"--{option_name(name)}"
        members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        if str in members:
            return None if text == "null" and allows_none(kind) else text
        if text in ("none", "null") and allows_none(kind):  # the help writes none
            return None
        value: Any = text
        if text.strip() and not _has_origin(members, Literal):
            value = yaml_file.load(text, option)
        if _has_origin(members, list) and value is not None and not isinstance(value, list):
            value = yaml_file.load(f"[{text}]", option)
        if kind is Any and isinstance(value, str) and WORDS_WITH_COMMAS.fullmatch(value):
            value = [word.strip() for word in value.split(",")]
        return value


def _field_name(kind: Any, typed: str) -> str:
    """Return the name of a field that was typed with hyphens; a name that the user chose stays as it is."""
    name = typed.replace("-", "_")
    return name if name in field_types(kind) else typed


def _has_origin(members: tuple[Any, ...], origin: Any) -> bool:
    """Whether one of the members of a type is a `list[...]` or a `Literal[...]`."""
    return any(get_origin(member) is origin for member in members)
