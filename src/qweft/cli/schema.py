"""The keys of a config dataclass, their types, and how types are written in text."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

NAME = "NAME"
"""Placeholder for a key that the user chooses, in a dict of dataclasses: `methods.NAME.learning_rate`."""
WORDS = {int: "int", float: "float", str: "text", bool: "true or false", NoneType: "null"}


def keys_of(config_class: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Yields dotted name, type, default and docstring text of each key below a dataclass, a section before its keys."""
    from docstring_parser import parse

    told = [each for owner in config_class.__mro__ for each in parse(owner.__doc__ or "").params]
    texts = {each.arg_name: " ".join((each.description or "").split()) for each in reversed(told)}
    for key, kind in kinds_of(config_class).items():
        name = joined(prefix, key)
        yield name, kind, default_of(config_class, key), texts.get(key, "")
        if not is_leaf(kind):
            yield from keys_of(*((get_args(kind)[1], f"{name}.{NAME}") if is_mapping(kind) else (kind, name)))


@cache
def kinds_of(config_class: Any) -> dict[str, Any]:
    """Returns the type of each field of a dataclass; empty for any other type."""
    return get_type_hints(config_class) if is_dataclass(config_class) else {}


def default_of(config_class: Any, key: str) -> Any:
    """Returns a fresh default of a dataclass's field, or `MISSING` without one."""
    field = next(field for field in fields(config_class) if field.name == key)
    return field.default if field.default_factory is MISSING else field.default_factory()


def joined(name: str, key: str) -> str:
    """Returns the dotted name of a key below a dotted name, which is empty for the whole config."""
    return f"{name}.{key}" if name else key


def is_mapping(kind: Any) -> bool:
    """Whether a type is a dict whose keys the user chooses."""
    return get_origin(kind) is dict


def is_leaf(kind: Any) -> bool:
    """Whether a type is one option: neither a section nor a dict of sections."""
    return not is_dataclass(get_args(kind)[1] if is_mapping(kind) else kind)


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
    if is_dataclass(kind) or is_mapping(kind):
        return "a mapping of keys to values"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is list:
        return f"list of {call(get_args(kind)[0])}"
    return " or ".join(map(call, get_args(kind))) or WORDS[kind]


def placeholder(kind: Any) -> str:
    """Returns the placeholder for a value of a type in the help.

    >>> placeholder(int | None), placeholder(list[int]), placeholder(bool)
    ('INT', 'INT,...', '{true,false}')
    """
    if get_origin(kind) is list:
        return f"{placeholder(get_args(kind)[0])},..."
    if NoneType in get_args(kind):
        return placeholder(get_args(kind)[0])
    return f"{{{','.join(choices(kind))}}}" if choices(kind) else WORDS.get(kind, "value").upper()


def choices(kind: Any) -> tuple[str, ...]:
    """Returns the words that a type allows; for a list, those of its entries. Empty if any text is allowed.

    >>> choices(bool), choices(list[Literal["a", "b"]] | None), choices(int)
    (('true', 'false'), ('a', 'b'), ())
    """
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else sum(map(choices, get_args(kind)), ())
