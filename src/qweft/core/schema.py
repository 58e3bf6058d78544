"""The keys of a config dataclass: their types, defaults and texts.

A field's range is in its type: `batch_size: Count` or `share: Annotated[float, Ge(0), Le(1)]`.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, is_dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt

NAME = "NAME"
"""Placeholder for a key that the user chooses, in a dict of dataclasses: `methods.NAME.learning_rate`."""
Count = Annotated[int, Ge(1)]
Rate = Annotated[float, Gt(0)]
SHORT_NAMES = {"lr": "learning_rate", "target_modules": "adapter.target_modules"}
"""Names that people type for a key."""
ALTERNATIVES = {"preset": "peft_type", "peft_type": "preset", "source": "sources", "sources": "source"}
"""Keys of which one names an adapter or data. Setting one removes the other."""


@dataclass(frozen=True)
class Key:
    """A key of a config file, which is an option, a section, or a dict of sections."""

    name: str  # with dots: training.learning_rate
    kind: Any  # its type
    default: Any  # `MISSING` without one
    text: str  # from the docstring of its dataclass

    @property
    def is_option(self) -> bool:
        """Whether it is one option: neither a section nor a dict of sections."""
        return is_leaf(self.kind)


def keys_of(config_class: Any, prefix: str = "") -> Iterator[Key]:
    """Yield each key below a dataclass, a section before its keys."""
    texts = field_texts(config_class)
    for field_name, kind in field_types(config_class).items():
        name = dotted_name(prefix, field_name)
        yield Key(name, kind, field_default(config_class, field_name), texts.get(field_name, ""))
        if is_leaf(kind):
            continue
        if is_mapping(kind):
            yield from keys_of(value_type(kind), f"{name}.{NAME}")
        else:
            yield from keys_of(kind, name)


def field_texts(config_class: Any) -> dict[str, str]:
    """Return the docstring text of each field of a dataclass, those of its base classes included."""
    from docstring_parser import parse

    texts = {}
    for owner in reversed(getattr(config_class, "__mro__", ())):  # so that a class wins over its bases
        for parameter in parse(owner.__doc__ or "").params:
            texts[parameter.arg_name] = " ".join((parameter.description or "").split())
    return texts


@cache
def field_types(config_class: Any) -> dict[str, Any]:
    """Return the type of each field of a dataclass; empty for any other type."""
    return get_type_hints(config_class, include_extras=True) if is_dataclass(config_class) else {}


def field_default(config_class: Any, name: str) -> Any:
    """Return a fresh default of a dataclass's field, or `MISSING` without one."""
    field = config_class.__dataclass_fields__[name]
    return field.default if field.default_factory is MISSING else field.default_factory()


def text_field(kind: Any) -> str | None:
    """Return the field for which a text stands in place of a section: its first one, if that is a text."""
    for name, field_type in field_types(kind).items():
        return name if field_type is str else None
    return None


def dotted_name(prefix: str, name: str) -> str:
    """Return the name of a key below another one, which is empty for the whole config."""
    return f"{prefix}.{name}" if prefix else name


def option_name(name: str) -> str:
    """Return a key's name as help and errors show its option: with hyphens if it has no dots."""
    return name if "." in name else name.replace("_", "-")


def is_mapping(kind: Any) -> bool:
    """Whether a type is a dict whose keys the user chooses."""
    return get_origin(kind) is dict


def value_type(kind: Any) -> Any:
    """Return the type of a dict's values."""
    return get_args(kind)[1]


def is_leaf(kind: Any) -> bool:
    """Whether a type is one option: neither a section nor a dict of sections."""
    section = value_type(kind) if is_mapping(kind) else kind
    return not is_dataclass(section)


def allows_none(kind: Any) -> bool:
    """Whether a type allows `None`."""
    return NoneType in get_args(kind)


def list_of_sections(kind: Any) -> Any:
    """Return the dataclass of a list's entries, for `list[Dataclass]` with or without `None`; else `None`."""
    for member in (kind, *get_args(kind)):
        if get_origin(member) is list and is_dataclass(get_args(member)[0]):
            return get_args(member)[0]
    return None


def placeholder(kind: Any) -> str:
    """Return the placeholder for a value of a type in the help.

    >>> placeholder(int | None), placeholder(list[int]), placeholder(bool)
    ('INT', 'INT,...', '{true,false}')
    """
    if get_origin(kind) is list:
        return f"{placeholder(get_args(kind)[0])},..."
    if get_origin(kind) is Annotated or allows_none(kind):
        return placeholder(get_args(kind)[0])
    words = choices(kind)
    if words:
        return f"{{{','.join(words)}}}"
    return {int: "INT", float: "FLOAT", str: "TEXT"}.get(kind, "VALUE")


def choices(kind: Any) -> tuple[str, ...]:
    """Return the words that a type allows; for a list, those of its entries. Empty if any text is allowed."""
    if kind is bool:
        return ("true", "false")
    if get_origin(kind) is Literal:
        return get_args(kind)
    words: tuple[str, ...] = ()
    for member in get_args(kind):
        words += choices(member)
    return words
