"""What a config dataclass allows: its names, their types, and how a type is called in a sentence."""

import dataclasses
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

NAME_PLACEHOLDER = "NAME"
"""Stands in names for the free part of a dict of dataclasses: `methods.NAME.learning_rate`."""


@cache
def kinds_of(config_class: Any) -> dict[str, Any]:
    """Return the type of each field of a dataclass."""
    hints = get_type_hints(config_class)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class)}


def is_section(kind: Any) -> bool:
    """Whether a type is a config dataclass: a section with named keys."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def is_mapping(kind: Any) -> bool:
    """Whether a type is a dict whose keys the user chooses."""
    return get_origin(kind) is dict


def is_optional(kind: Any) -> bool:
    """Whether null is a value of the type."""
    return type(None) in get_args(kind)


def takes_list(kind: Any) -> bool:
    """Whether a list is the only value of the type, but for null."""
    inner = [choice for choice in get_args(kind) if choice is not type(None)]
    return get_origin(kind) is list or (is_optional(kind) and len(inner) == 1 and get_origin(inner[0]) is list)


def names(kind: Any, prefix: str = "", chosen: str = NAME_PLACEHOLDER) -> dict[str, Any]:
    """Return every dotted name below a type with its own type, sections included.

    Args:
        kind: A dataclass or a field's type.
        prefix: Dotted name of `kind` itself.
        chosen: Put in the place of a key that the user chooses.
    """
    found: dict[str, Any] = {}
    if is_section(kind):
        for key, inner in kinds_of(kind).items():
            name = f"{prefix}.{key}" if prefix else key
            found[name] = inner
            found |= names(inner, name, chosen)
    elif is_mapping(kind) and is_section(get_args(kind)[1]):
        found |= names(get_args(kind)[1], f"{prefix}.{chosen}", chosen)
    return found


def spelled(kind: Any, name: str) -> str:
    """Return a dotted name as the fields are spelled: `max-circuits` is `max_circuits`.

    Only hyphens in the place of a field's underscores are changed: keys that the user chooses stay as they are.

    Args:
        kind: The dataclass that the name begins in.
        name: As typed.
    """
    keys = []
    for key in name.split("."):
        if is_section(kind) and key not in kinds_of(kind) and key.replace("-", "_") in kinds_of(kind):
            key = key.replace("-", "_")
        keys.append(key)
        kind = kinds_of(kind).get(key) if is_section(kind) else get_args(kind)[1] if is_mapping(kind) else None
    return ".".join(keys)


def shown(name: str) -> str:
    """Return a dotted name as help and errors show its option: with hyphens where it stands alone.

    Below a section a name is that of a key in a file, and keeps its underscores.

    >>> shown("max_circuits"), shown("training.learning_rate")
    ('max-circuits', 'training.learning_rate')
    """
    return name if "." in name else name.replace("_", "-")


def default_of(config_class: Any, key: str) -> Any:
    """Return a fresh default of a dataclass's field, or `dataclasses.MISSING` where there is none."""
    field = next(field for field in dataclasses.fields(config_class) if field.name == key)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def call(kind: Any) -> str:
    """Return what a type is called in a sentence.

    >>> call(int | None)
    'int or null'
    >>> call(list[float])
    'list of float'
    """
    if kind is type(None):
        return "null"
    if kind is str:
        return "text"
    if kind is bool:
        return "true or false"
    if is_section(kind) or is_mapping(kind):
        return "a mapping of keys to values"
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(call(choice) for choice in inner)
    if origin is list:
        return f"list of {call(inner[0])}"
    return getattr(kind, "__name__", str(kind))


def placeholder(kind: Any) -> str:
    """Return what stands for a value of a type in the help: INT, TEXT, {cut,drop}.

    >>> placeholder(int | None), placeholder(list[int]), placeholder(bool)
    ('INT', 'INT,...', '{true,false}')
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is bool:
        return "{true,false}"
    if kind is str:
        return "TEXT"
    if origin is Literal:
        return "{" + ",".join(str(choice) for choice in inner) + "}"
    if origin in (Union, types.UnionType):
        return "|".join(placeholder(choice) for choice in inner if choice is not type(None))
    if origin is list:
        return f"{placeholder(inner[0])},..."
    if origin is dict or kind is Any:
        return "VALUE"
    return str(getattr(kind, "__name__", kind)).upper()
