"""The keys of a config dataclass and their types: checks of values, and types as text and as JSON schema."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from qweft.errors import QweftError
from qweft.text import near

NAME = "NAME"
"""Placeholder for a key that the user chooses, in a dict of dataclasses: `methods.NAME.learning_rate`."""
WORDS = {int: "int", float: "float", str: "text", bool: "true or false", NoneType: "null"}
JSON_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", NoneType: "null"}
QUOTED = {
    int: r"[-+]?[0-9][0-9a-fA-Fxb_:]*",
    float: r"[-+]?([0-9.][0-9a-fA-Fxb_:.eE+-]*|\.(inf|Inf|INF|nan|NaN|NAN))",
    bool: "true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF",
    NoneType: "~|null|Null|NULL|(?=#)",
}
"""Texts that are read as a value of a type: YAML in quotes, with or without a comment."""
MOST_ENTRIES = 1000
"""Most entries of a list of sections; a stranger's record may have any number."""


def keys_of(config_class: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Yields dotted name, type, default and docstring text of each key below a dataclass, a section before its keys."""
    texts = texts_of(config_class)
    for key, kind in kinds_of(config_class).items():
        name = joined(prefix, key)
        yield name, kind, default_of(config_class, key), texts.get(key, "")
        if not is_leaf(kind):
            yield from keys_of(*((get_args(kind)[1], f"{name}.{NAME}") if is_mapping(kind) else (kind, name)))


def texts_of(config_class: Any) -> dict[str, str]:
    """Returns the docstring text of each key of a dataclass, those of its base classes included."""
    from docstring_parser import parse

    told = [each for owner in config_class.__mro__ for each in parse(owner.__doc__ or "").params]
    return {each.arg_name: " ".join((each.description or "").split()) for each in reversed(told)}


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


def entry_of(kind: Any) -> Any:
    """Returns the dataclass whose entries a list holds, for `list[Dataclass]` with or without null; else `None`."""
    lists = [kind] if get_origin(kind) is list else [each for each in get_args(kind) if get_origin(each) is list]
    return next((get_args(each)[0] for each in lists if is_dataclass(get_args(each)[0])), None)


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
        return "list of texts or mappings" if entry_of(kind) else f"list of {call(get_args(kind)[0])}"
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


def json_schema(kind: Any, parts: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Returns the JSON schema of what `Reader` takes from a file, in words that drafts 7 and 2020-12 share.

    It refuses nothing that is read. It takes some that is not: 8.0 is an integer there, and a text in quotes is only
    compared with the form of its type.

    Args:
        kind: A config class, or the type of a key.
        parts: Schemas of keys whose type says less than is known of them, by dotted name.
        name: Dotted name of the key; empty for the whole config.

    >>> json_schema(int | None, {})["anyOf"][0]
    {'type': ['integer', 'null']}
    """
    if name in parts:
        return dict(parts[name])
    if is_mapping(kind) and not is_leaf(kind):
        return {"type": "object", "additionalProperties": json_schema(get_args(kind)[1], parts, joined(name, NAME))}
    entry: Any = entry_of(kind)
    if entry is not None:
        items = {"anyOf": [{"type": "string"}, json_schema(entry, parts, f"{name}[]")]}
        return {"type": ["array", *(["null"] if NoneType in get_args(kind) else [])], "items": items}
    if not is_dataclass(kind):
        return leaf_schema(kind)
    texts, properties, required = texts_of(kind), {}, []
    kinds: dict[str, Any] = kinds_of(kind)  # type: ignore[arg-type] # narrowed to what may have no hash
    for key, inner in kinds.items():
        default = default_of(kind, key)
        properties[key] = {"description": texts.get(key, ""), **json_schema(inner, parts, joined(name, key))}
        if default is MISSING:
            required.append(key)
        elif is_leaf(inner):
            properties[key]["default"] = default
    found = {"type": "object" if required else ["object", "null"], "properties": properties}
    return {**found, "additionalProperties": False, **({"required": required} if required else {})}


def leaf_schema(kind: Any, reads_quoted: bool = True) -> dict[str, Any]:
    """Returns the JSON schema of one value.

    Args:
        kind: Its type.
        reads_quoted: Whether a text in quotes is read as YAML where the type is none of text.
    """
    if kind is Any:
        return {}
    whole = [kind] if get_origin(kind) in (Literal, list, dict) else list(get_args(kind)) or [kind]
    plain = [JSON_TYPES[each] for each in whole if each in JSON_TYPES]
    found: list[dict[str, Any]] = [{"type": plain[0] if len(plain) == 1 else plain}] if plain else []
    quoted = [QUOTED[each] for each in whole if each in QUOTED]
    for each in whole:
        if get_origin(each) is Literal:
            found.insert(0, {"enum": [*get_args(each), *([False] if "no" in get_args(each) else [])]})
        elif get_origin(each) is list:
            found.append({"type": "array", "items": leaf_schema(get_args(each)[0], reads_quoted)})
        elif get_origin(each) is dict:
            found.append({"type": "object", "additionalProperties": leaf_schema(get_args(each)[1], reads_quoted)})
    if any(get_origin(each) is list for each in whole):
        quoted.append(r"\[[\s\S]*\]|-\s[\s\S]*")
    if quoted and reads_quoted and str not in whole:
        found.append({"type": "string", "pattern": rf"^\s*({'|'.join(quoted)})\s*(#.*)?$"})
    return found[0] if len(found) == 1 else {"anyOf": found}


def suggest(name: str, known: Sequence[str]) -> str | None:
    """Returns the known dotted name that the user most likely meant, or `None`.

    A name that only lacks its section (`batch_size` for `training.batch_size`) is found by its last part.

    >>> suggest("lerning_rate", ["training.learning_rate", "output"])
    'training.learning_rate'
    """
    by_last = {each.rpartition(".")[2]: each for each in reversed(known)}
    lacking = near(name.rpartition(".")[2], by_last, cutoff=0.75)
    return next(iter([*near(name, known, cutoff=0.75), *(by_last[each] for each in lacking)]), None)


class Reader:
    """Checks values against a config class; errors name the source of the value.

    Args:
        root: The config class.
        file: The YAML file as the user typed it; `None` means the command line.
        flags: Options of the command that take no value, also suggested.
    """

    def __init__(self, root: Any, file: str | None = None, flags: Collection[str] = ()) -> None:
        self.root, self.file, self.flags = root, file, flags

    def check(self, kind: Any, value: Any, name: str) -> Any:
        """Returns a value converted to a type. In sections, it checks every key and value."""
        if kind is Any:
            return value
        if isinstance(value, list | dict) and len(value) > MOST_ENTRIES:  # each takes a millisecond to check, or longer
            raise self.fault(name, f"{len(value):,} entries, and at most {MOST_ENTRIES:,} are read")
        entry = entry_of(kind)
        if entry is not None and not (value is None and NoneType in get_args(kind)):
            if isinstance(value, list):
                return [self.entry(entry, each, f"{name}[{place}]") for place, each in enumerate(value)]
        elif entry is not None:
            return None
        elif is_dataclass(kind) or is_mapping(kind):
            if isinstance(value, dict) or (value is None and is_dataclass(kind)):  # None: all keys are commented out
                named = [(str(key), joined(name, str(key)), inner) for key, inner in (value or {}).items()]
                return {key: self.check(self.known(kind, key, full), inner, full) for key, full, inner in named}
        else:
            import jsonargparse  # here: the import takes 0.1 s, which `qweft --help` avoids

            if isinstance(value, str) and {kind, *get_args(kind)} - {NoneType, str | None} == {str}:
                # a text as it is: jsonargparse would read one of comments alone as nothing ("### Question: {query}")
                return None if value == "null" and not self.file and kind is not str else value
            if value is False and "no" in choices(kind):  # what YAML makes of a plain no
                value = "no"
            if value == "none" and not self.file and NoneType in get_args(kind) and str not in get_args(kind):
                return None  # as the help writes the default
            # A list may be typed without brackets (100,1000).
            parts = [[part.strip() for part in value.split(",")]] if isinstance(value, str) and not self.file else []
            for reading in [value, *parts]:
                with suppress(jsonargparse.ArgumentError, TypeError, ValueError, OverflowError):
                    converted = _converter(kind).parse_object({"value": reading}).value
                    if converted is not None or type(None) in get_args(kind):  # jsonargparse takes null for all types
                        return converted
        raise self.fault(name, f"expected {call(kind)}, got {shown_value(value)}")

    def entry(self, kind: Any, value: Any, name: str) -> Any:
        """Returns an entry of a list of dataclasses, checked; a text stands for one with that text as its first key."""
        if isinstance(value, str):
            value = {next(iter(kinds_of(kind))): value}
        checked = self.check(kind, value, name)
        build(kind, checked, self.file or "command line", name)  # raises for a missing key
        return checked

    def known(self, kind: Any, key: str, name: str) -> Any:
        """Returns the type of a key below a type; raises if there is no such key."""
        if not is_mapping(kind) and key not in kinds_of(kind):
            raise self.unknown(name, kinds_of(kind))
        return get_args(kind)[1] if is_mapping(kind) else kinds_of(kind)[key]

    def fault(self, name: str, what: str) -> QweftError:
        """Returns the error for a value, with its source."""
        return QweftError(f"{self.file}: {name}: {what}" if self.file else f"--{shown(name)}: {what}")

    def unknown(self, name: str, here: Collection[str]) -> QweftError:
        """Returns the error for an unknown name; without a close match, it lists the names `here`."""
        what = f"{self.file}: unknown key {name}" if self.file else f"unknown option --{name}"
        if name.rpartition(".")[2] == "trust_remote_code":
            return QweftError(f"{what}: no file can let code run; read that code, then give --trust-remote-code")
        known = [joined(name.rpartition(".")[0], each) for each in here]
        # The name's own section is no suggestion: training.foo does not mean training.
        known += [each for each, kind, *_ in keys_of(self.root) if is_leaf(kind) or not name.startswith(f"{each}.")]
        close = suggest(name, [*known, *self.flags])
        if close:
            return QweftError(f"{what}; did you mean {close if self.file else f'--{shown(close)}'}?")
        listed = ", ".join(here if self.file or "." in name else map(shown, here))
        return QweftError(f"{what}; known here: {listed}" if listed else what)


def build(kind: Any, tree: Any, where: str, name: str = "") -> Any:
    """Returns the dataclass that a checked tree describes.

    Args:
        kind: The dataclass or a field's type.
        tree: The checked tree or leaf.
        where: The file or the command, which begins the sentence about a missing key.
        name: Dotted name of `tree`.

    Raises:
        QweftError: If a key without a default is missing.
    """
    if is_leaf(kind):
        return tree
    for key, inner in kinds_of(kind).items():
        if key not in tree and default_of(kind, key) is MISSING:
            what = "key" if is_leaf(inner) else "section"
            raise QweftError(f"{where}: missing required {what} {joined(name, key)} ({call(inner)})")
    kinds = dict.fromkeys(tree, get_args(kind)[1]) if is_mapping(kind) else kinds_of(kind)
    made = {key: build(kinds[key], inner, where, joined(name, key)) for key, inner in tree.items()}
    return made if is_mapping(kind) else kind(**made)


@cache
def _converter(kind: Any) -> Any:
    """Returns a jsonargparse parser for one value of a type."""
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    return parser


def shown_value(value: Any) -> str:
    """Returns a value as JSON, shortened to 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
