"""The schema of a config dataclass: its dotted names, their types, and how types are written in text."""

import dataclasses
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

NAME = "NAME"
"""Placeholder for a key that the user chooses, in a dict of dataclasses: `methods.NAME.learning_rate`."""


@cache
def kinds_of(config_class: Any) -> dict[str, Any]:
    """Returns the type of each field of a dataclass; empty for any other type."""
    if not is_section(config_class):
        return {}
    hints = get_type_hints(config_class)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class)}


def default_of(config_class: Any, key: str) -> Any:
    """Returns a fresh default of a dataclass's field, or `dataclasses.MISSING` without one."""
    field = next(field for field in dataclasses.fields(config_class) if field.name == key)
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def joined(name: str, key: str) -> str:
    """Returns the dotted name of a key below a dotted name, which is empty for the whole config."""
    return f"{name}.{key}" if name else key


def is_section(kind: Any) -> bool:
    """Whether a type is a config dataclass: a section with named keys."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def is_mapping(kind: Any) -> bool:
    """Whether a type is a dict whose keys the user chooses."""
    return get_origin(kind) is dict


def is_leaf(kind: Any) -> bool:
    """Whether a type is one option: neither a section nor a dict of sections."""
    return not is_section(get_args(kind)[1] if is_mapping(kind) else kind)


def names(kind: Any, prefix: str = "") -> dict[str, Any]:
    """Returns every dotted name below a type with its own type, sections included."""
    if is_mapping(kind):
        return names(get_args(kind)[1], f"{prefix}.{NAME}")
    found: dict[str, Any] = {}
    for key, inner in kinds_of(kind).items():
        name = joined(prefix, key)
        found |= {name: inner} | names(inner, name)
    return found


def spelled(kind: Any, name: str) -> str:
    """Returns a dotted name as the fields of a dataclass are spelled: `max-circuits` is `max_circuits`.

    Keys that the user chooses stay as they are.
    """
    key, _, rest = name.partition(".")
    fields = kinds_of(kind)
    key = next((each for each in (key, key.replace("-", "_")) if each in fields), key)
    inner = get_args(kind)[1] if is_mapping(kind) else fields.get(key)
    return f"{key}.{spelled(inner, rest)}" if rest else key


def shown(name: str) -> str:
    """Returns a dotted name as help and errors show its option: with hyphens if it has no dots.

    >>> shown("max_circuits"), shown("training.learning_rate")
    ('max-circuits', 'training.learning_rate')
    """
    return name if "." in name else name.replace("_", "-")


def call(kind: Any) -> str:
    """Returns the name of a type for a sentence.

    >>> call(int | None), call(list[float])
    ('int or null', 'list of float')
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_section(kind) or origin is dict:
        return "a mapping of keys to values"
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is list:
        return f"list of {call(inner[0])}"
    return " or ".join(map(call, inner)) or {NoneType: "null", str: "text", bool: "true or false"}.get(
        kind, getattr(kind, "__name__", str(kind))
    )


def placeholder(kind: Any) -> str:
    """Returns the placeholder for a value of a type in the help.

    >>> placeholder(int | None), placeholder(list[int]), placeholder(bool)
    ('INT', 'INT,...', '{true,false}')
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is dict or kind is Any:
        return "VALUE"
    if origin is Literal or kind is bool:
        return "{" + ",".join(choices(kind)) + "}"
    if origin is list:
        return f"{placeholder(inner[0])},..."
    return "|".join(placeholder(each) for each in inner if each is not NoneType) or (
        "TEXT" if kind is str else str(getattr(kind, "__name__", kind)).upper()
    )


def choices(kind: Any) -> tuple[str, ...]:
    """Returns the words that a type allows; for a list, those of its entries. Empty if any text is allowed.

    >>> choices(bool), choices(list[Literal["a", "b"]] | None), choices(int)
    (('true', 'false'), ('a', 'b'), ())
    """
    if kind is bool:
        return ("true", "false")
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    return tuple(word for inner in get_args(kind) for word in choices(inner))
