"""The keys of a config dataclass: their types in words and as JSON schema, and strict checks of values by pydantic.

A field's range is in its type: `batch_size: Count` or `share: Annotated[float, Ge(0), Le(1)]`.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, asdict, is_dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt

from qweft.core.errors import QweftError
from qweft.core.text import nearest_name, shorten

NAME = "NAME"
"""Placeholder for a key that the user chooses, in a dict of dataclasses: `methods.NAME.learning_rate`."""
Count = Annotated[int, Ge(1)]
Rate = Annotated[float, Gt(0)]
MAPPING = "should be a mapping of keys to values"
SHORT = {"lr": "learning_rate", "target_modules": "adapter.target_modules"}
"""Names that people type for a key."""
ALTERNATIVES = {"preset": "peft_type", "peft_type": "preset", "source": "sources", "sources": "source"}
"""Keys of which one names an adapter or data. Setting one removes the other."""


def keys_of(config_class: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Yield dotted name, type, default and docstring text of each key below a dataclass, a section before its keys."""
    texts = texts_of(config_class)
    for key, kind in kinds_of(config_class).items():
        name = joined(prefix, key)
        yield name, kind, default_of(config_class, key), texts.get(key, "")
        if is_mapping(kind) and not is_leaf(kind):
            yield from keys_of(get_args(kind)[1], f"{name}.{NAME}")
        elif not is_leaf(kind):
            yield from keys_of(kind, name)


def texts_of(config_class: Any) -> dict[str, str]:
    """Return the docstring text of each key of a dataclass, those of its base classes included."""
    from docstring_parser import parse

    owners: Any = getattr(config_class, "__mro__", ())
    texts = [each for owner in owners for each in parse(owner.__doc__ or "").params]
    return {each.arg_name: " ".join((each.description or "").split()) for each in reversed(texts)}


@cache
def kinds_of(config_class: Any) -> dict[str, Any]:
    """Return the type of each field of a dataclass; empty for any other type."""
    return get_type_hints(config_class, include_extras=True) if is_dataclass(config_class) else {}


def default_of(config_class: Any, key: str) -> Any:
    """Return a fresh default of a dataclass's field, or `MISSING` without one."""
    field = config_class.__dataclass_fields__[key]
    return field.default if field.default_factory is MISSING else field.default_factory()


def text_key(kind: Any) -> str | None:
    """Return the key for which a text stands in place of a section: its first one, if that is a text."""
    key, first = next(iter(kinds_of(kind).items()), ("", None))
    return key if first is str else None


def joined(name: str, key: str) -> str:
    """Return the dotted name of a key below a dotted name, which is empty for the whole config."""
    return f"{name}.{key}" if name else key


def is_mapping(kind: Any) -> bool:
    """Whether a type is a dict whose keys the user chooses."""
    return get_origin(kind) is dict


def is_leaf(kind: Any) -> bool:
    """Whether a type is one option: neither a section nor a dict of sections."""
    return not is_dataclass(get_args(kind)[1] if is_mapping(kind) else kind)


def shown(name: str) -> str:
    """Return a dotted name as help and errors show its option: with hyphens if it has no dots."""
    return name if "." in name else name.replace("_", "-")


def entry_of(kind: Any) -> Any:
    """Return the dataclass whose entries a list holds, for `list[Dataclass]` with or without null; else `None`."""
    lists = [each for each in (kind, *get_args(kind)) if get_origin(each) is list]
    return next((get_args(each)[0] for each in lists if is_dataclass(get_args(each)[0])), None)


def placeholder(kind: Any) -> str:
    """Return the placeholder for a value of a type in the help.

    >>> placeholder(int | None), placeholder(list[int]), placeholder(bool)
    ('INT', 'INT,...', '{true,false}')
    """
    if get_origin(kind) is list:
        return f"{placeholder(get_args(kind)[0])},..."
    if get_origin(kind) is Annotated or NoneType in get_args(kind):
        return placeholder(get_args(kind)[0])
    words = {int: "INT", float: "FLOAT", str: "TEXT"}
    return f"{{{','.join(choices(kind))}}}" if choices(kind) else words.get(kind, "VALUE")


def choices(kind: Any) -> tuple[str, ...]:
    """Return the words that a type allows; for a list, those of its entries. Empty if any text is allowed."""
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else sum(map(choices, get_args(kind)), ())


def json_schema(kind: Any, parts: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Return the JSON schema of what `Reader` takes from a file, in words that drafts 7 and 2020-12 share.

    `parts` has the schemas of keys whose type says less than is known of them, by dotted name.
    """
    if name in parts:
        return dict(parts[name])
    if is_mapping(kind) and not is_leaf(kind):
        return {"type": "object", "additionalProperties": json_schema(get_args(kind)[1], parts, joined(name, NAME))}
    if (entry := entry_of(kind)) is not None:
        types = ["array", *(["null"] if NoneType in get_args(kind) else [])]
        return {"type": types, "items": json_schema(entry, parts, f"{name}[]")}
    if not is_dataclass(kind):
        leaf: dict[str, Any] = _adapter(kind).json_schema()
        return {"anyOf": [leaf, {"const": False}]} if "no" in choices(kind) else leaf
    texts, properties, required = texts_of(kind), {}, []
    for key, inner in kinds_of(kind).items():  # type: ignore[arg-type] # narrowed to what may have no hash
        default = default_of(kind, key)
        properties[key] = {"description": texts.get(key, ""), **json_schema(inner, parts, joined(name, key))}
        if default is MISSING:
            required.append(key)
        elif is_leaf(inner):
            properties[key]["default"] = default
    types = ["object", *(["null"] if not required else []), *(["string"] if text_key(kind) else [])]
    schema = {"type": types if len(types) > 1 else "object", "properties": properties}
    return {**schema, "additionalProperties": False, **({"required": required} if required else {})}


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter  # here: the import takes 0.15 s, which `qweft --help` avoids

    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


class Reader:
    """Checks values against a config class; errors name the file, or the option of a command line."""

    def __init__(self, root: Any, file: str | None = None, flags: Collection[str] = ()) -> None:
        self.root, self.file, self.flags = root, file, flags

    def check(self, kind: Any, value: Any, name: str, source: Any = MISSING) -> Any:
        """Return a value converted to a type; in sections, check every key and value. Errors quote the source."""
        if kind is Any:
            return value
        if isinstance(value, str) and (key := text_key(kind)):
            value = {key: value}
        if is_dataclass(kind) or is_mapping(kind):
            if isinstance(value, dict) or (value is None and is_dataclass(kind)):  # None: all keys are commented out
                named = [(str(key), joined(name, str(key)), inner) for key, inner in (value or {}).items()]
                return {key: self.check(self.known(kind, key, full), inner, full) for key, full, inner in named}
            reason = MAPPING
        elif (entry := entry_of(kind)) is None:
            from pydantic import ValidationError

            try:
                # False is what YAML makes of a plain no
                return _adapter(kind).validate_python("no" if value is False and "no" in choices(kind) else value)
            except ValidationError as error:
                reasons = [each["msg"].removeprefix("Input ") for each in error.errors()]
                reason = " or ".join(dict.fromkeys(reasons))
        elif isinstance(value, list):
            entries = [(f"{name}[{place}]", each) for place, each in enumerate(value)]
            checked = [(full, self.check(entry, each, full)) for full, each in entries]
            for full, each in checked:
                build(entry, each, self.file or "command line", full)  # raises for a missing key
            return [each for _, each in checked]
        elif value is None and NoneType in get_args(kind):
            return None
        else:
            reason = "should be a list of texts or mappings"
        raise self.fault(name, f"{reason}, got {shown_value(value if source is MISSING else source)}")

    def known(self, kind: Any, key: str, name: str) -> Any:
        """Return the type of a key below a type; raises if there is no such key."""
        if is_mapping(kind):
            return get_args(kind)[1]
        if key not in kinds_of(kind):
            raise self.unknown(name, kinds_of(kind))
        return kinds_of(kind)[key]

    def fault(self, name: str, what: str) -> QweftError:
        """Return the error for a value, with its source."""
        return QweftError(f"{self.file}: {name}: {what}" if self.file else f"--{shown(name)}: {what}")

    def unknown(self, name: str, here: Collection[str]) -> QweftError:
        """Return the error for an unknown name, with one whose last part is like its own, or the names `here`."""
        what = f"{self.file}: unknown key {name}" if self.file else f"unknown option --{name}"
        section, _, last = name.rpartition(".")
        if last == "trust_remote_code":
            return QweftError(f"{what}: no file can let code run; read that code, then give --trust-remote-code")
        known = [joined(section, each) for each in here]
        known += [each for each, kind, *_ in keys_of(self.root) if is_leaf(kind)]
        names = {each.rpartition(".")[2]: each for each in reversed([*known, *self.flags])}
        wanted = SHORT.get(last, last)
        if close := nearest_name(wanted, [*names, *SHORT.values()], cutoff=0.75):
            option = names.get(close, close)
            return QweftError(f"{what}; did you mean {option if self.file else f'--{shown(option)}'}?")
        listed = ", ".join(here if self.file or section else map(shown, here))
        return QweftError(f"{what}; known here: {listed}" if listed else what)


def check_values(config: Any, name: str) -> None:
    """Raise unless a config section of this name, perhaps made in Python, holds what a file could give."""
    try:
        Reader(type(config)).check(type(config), asdict(config), name)
    except QweftError as error:
        raise QweftError(str(error).removeprefix("--")) from None


def build(kind: Any, tree: Any, where: str, name: str = "") -> Any:
    """Return the dataclass (or field `name`) of a checked tree; an error names `where`, the file or the command."""
    if is_leaf(kind):
        return tree
    for key, inner in kinds_of(kind).items():
        if key not in tree and default_of(kind, key) is MISSING:
            what = "key" if is_leaf(inner) else "section"
            raise QweftError(f"{where}: missing required {what} {joined(name, key)}")
    kinds = dict.fromkeys(tree, get_args(kind)[1]) if is_mapping(kind) else kinds_of(kind)
    made = {key: build(kinds[key], inner, where, joined(name, key)) for key, inner in tree.items()}
    return made if is_mapping(kind) else kind(**made)


def shown_value(value: Any) -> str:
    """Return a value as JSON, shortened to 60 characters."""
    return shorten(json.dumps(value, ensure_ascii=False, default=str), 60)
