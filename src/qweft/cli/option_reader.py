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
    dotted_name,
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
            name = dotted_name(name, section)
            tree, kind = self._enter(tree, kind, section, name)
            if not isinstance(tree, dict):
                raise self.error(typed, f"{name} is {format_json(tree)} and has no keys")
        key = _field_name(kind, last)
        kind = self.type_below(kind, key, typed)
        if text is None:
            raise self.error(typed, "expected a value after it")
        tree.pop(ALTERNATIVES.get(key, ""), None)  # --adapter.peft_type takes the preset's place
        tree[key] = self.typed(kind, text, typed)

    def _enter(self, tree: dict[str, Any], kind: Any, section: str, name: str) -> tuple[Any, Any]:
        """Return what a tree has below a section, made from the default where it has nothing, and its type."""
        key = _field_name(kind, section)
        type_below = self.type_below(kind, key, name)
        if key not in tree:
            if is_mapping(kind) and is_dataclass(type_below):  # a method that the file does not have
                raise self.unknown_key(name, tree)
            default = field_default(kind, key) if is_dataclass(kind) else None
            tree[key] = default if isinstance(default, dict) else {}
        return tree[key], type_below

    def typed(self, kind: Any, text: str, name: str) -> Any:
        """Return the checked value of an option's text."""
        value = self._value(kind, text, name)
        quoted = text if is_leaf(kind) and not is_mapping(kind) else value
        return self.check(kind, value, name, quoted)

    def _value(self, kind: Any, text: str, name: str) -> Any:
        """Return the value in a text: YAML, except for texts and words; a list needs no brackets."""
        option = f"--{option_name(name)}"
        members = _members(kind)
        origins = {get_origin(member) for member in members}
        if str in members:  # taken as it is: "# Question: {query}" would be a comment in YAML
            return None if text == "null" and allows_none(kind) else text
        if text in ("none", "null") and allows_none(kind):  # the help writes none
            return None
        value: Any = text
        if text.strip() and Literal not in origins:
            value = yaml_file.load(text, option)
        if list in origins and value is not None and not isinstance(value, list):
            return yaml_file.load(f"[{text}]", option)
        return _split_words(value) if kind is Any else value


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _split_words(value: Any) -> Any:
    """Return the words of a text with commas, such as q_proj,v_proj; any other value as it is."""
    if isinstance(value, str) and WORDS_WITH_COMMAS.fullmatch(value):
        return [word.strip() for word in value.split(",")]
    return value


def _field_name(kind: Any, typed: str) -> str:
    """Return the name of a field that was typed with hyphens; a name that the user chose stays as it is."""
    name = typed.replace("-", "_")
    return name if name in field_types(kind) else typed
