"""Values checked against a config class and put together: a file's tree, options on top, then the dataclass.

A tree is the nested dict that YAML gives. It is checked where it was written, so that an error can name the file or
the option; only then are trees merged.
"""

from dataclasses import MISSING
from functools import cache
from typing import Any, get_args

import yaml

from qweft.cli import yaml_file
from qweft.cli.schema import call, default_of, is_mapping, is_optional, is_section, kinds_of, names, takes_list
from qweft.cli.source import Source, show_value
from qweft.errors import QweftError

# An adapter is named by one of these; naming one by an option drops the other.
_EXCLUSIVE = {"preset": "peft_type", "peft_type": "preset"}


class Text(str):
    """A value as typed on the command line: how it is read depends on the type that it meets."""


def check(kind: Any, value: Any, name: str, source: Source, root: Any) -> Any:
    """Return a value converted to a type; inside sections only keys that exist, each checked.

    Args:
        kind: The type: a dataclass, a field's type, or Any.
        value: From YAML, or `Text` from the command line.
        name: Dotted name of the value, empty for the whole file.
        source: Where it was written.
        root: The whole config class, for suggestions.

    Raises:
        QweftError: A key does not exist or a value has another type.
    """
    structured = kind is Any or is_section(kind) or is_mapping(kind)
    if structured and isinstance(value, Text):
        try:
            value = yaml_file.load(value)
        except yaml.YAMLError as error:
            raise source.fault(name, f"{yaml_file.say(error)}, in {show_value(value)}") from None
    if kind is Any:
        return value
    if not structured:
        return _check_leaf(kind, value, name, source)
    if value is None and is_section(kind):
        return {}  # a section whose keys are all commented out
    if not isinstance(value, dict):
        raise source.fault(name, f"expected {call(kind)}, got {show_value(value)}")
    checked = {}
    for key, inner in value.items():
        full = f"{name}.{key}" if name else str(key)
        checked[str(key)] = check(_inner_kind(kind, str(key), full, source, root), inner, full, source, root)
    return checked


def find(root: Any, name: str, source: Source) -> Any:
    """Return the type of a dotted name.

    Raises:
        QweftError: There is no such name.
    """
    kind, so_far = root, ""
    for key in name.split("."):
        so_far = f"{so_far}.{key}" if so_far else key
        kind = _inner_kind(kind, key, so_far, source, root)
    return kind


def put(root: Any, tree: dict[str, Any], name: str, value: Any, source: Source) -> None:
    """Set one dotted name in a checked tree; keys beside it stay.

    A dict of dataclasses (`methods`) only takes options for entries that it has, so that a mistyped method is an
    error and not one more method. A dict that is not in the tree starts from its default.
    """
    kind, path = root, name.split(".")
    for depth, key in enumerate(path[:-1]):
        so_far = ".".join(path[: depth + 1])
        inner = _inner_kind(kind, key, so_far, source, root)
        if key not in tree:
            if is_mapping(kind) and is_section(inner):
                prefix = ".".join(path[:depth])
                raise source.unknown(so_far, [f"{prefix}.{entry}" for entry in tree], tree)
            default = default_of(kind, key) if is_section(kind) else MISSING
            tree[key] = default if isinstance(default, dict) else {}
        if not isinstance(tree[key], dict):
            raise source.fault(name, f"{so_far} is {show_value(tree[key])} and has no keys")
        kind, tree = inner, tree[key]
    if is_mapping(kind) and get_args(kind)[1] is Any:
        tree.pop(_EXCLUSIVE.get(path[-1], ""), None)
    tree[path[-1]] = value


def build(kind: Any, tree: Any, where: str, name: str = "") -> Any:
    """Return the dataclass that a checked tree describes.

    Args:
        kind: The dataclass or a field's type.
        tree: The checked tree or leaf.
        where: Begins the sentence about a missing key: the file, or the command.
        name: Dotted name of `tree`.

    Raises:
        QweftError: A key without a default is missing.
    """
    if is_mapping(kind) and is_section(get_args(kind)[1]):
        return {key: build(get_args(kind)[1], inner, where, f"{name}.{key}") for key, inner in tree.items()}
    if not is_section(kind):
        return tree
    fields = {}
    for key, inner in kinds_of(kind).items():
        full = f"{name}.{key}" if name else key
        if key in tree:
            fields[key] = build(inner, tree[key], where, full)
        elif default_of(kind, key) is MISSING:
            what = "section" if is_mapping(inner) and not name else "key"
            raise QweftError(f"{where}: missing required {what} {full} ({call(inner)})")
    return kind(**fields)


def _inner_kind(kind: Any, key: str, full: str, source: Source, root: Any) -> Any:
    """Return the type of a key below a type, or raise that there is no such key."""
    if kind is Any:
        return Any
    if is_mapping(kind):
        return get_args(kind)[1]
    if is_section(kind) and key in kinds_of(kind):
        return kinds_of(kind)[key]
    prefix = full.rpartition(".")[0]
    known = names(kind, prefix) | names(root)
    # A section that the name is already in is no suggestion: training.foo does not mean training.
    offered = [name for name, inner in known.items() if not (is_section(inner) and full.startswith(f"{name}."))]
    raise source.unknown(full, offered, kinds_of(kind) if is_section(kind) else ())


def _check_leaf(kind: Any, value: Any, name: str, source: Source) -> Any:
    import jsonargparse  # here: it costs 0.1 s, which `qweft --help` need not pay

    fault = source.fault(name, f"expected {call(kind)}, got {show_value(value)}")
    if value is None and not is_optional(kind):  # jsonargparse lets null pass for every type
        raise fault
    try:
        plain = _read(kind, value) if isinstance(value, Text) else value
        converted = _leaf_parser(kind).parse_object({"value": plain}).value
    except (jsonargparse.ArgumentError, TypeError, ValueError, OverflowError):
        raise fault from None
    if converted is None and not is_optional(kind):
        raise fault
    return converted


def _read(kind: Any, text: Text) -> Any:
    """Return a typed value: a list may be typed with nothing but commas (100,1000)."""
    if takes_list(kind) and not text.startswith("[") and text != "null":
        return [part.strip() for part in text.split(",")]
    return str(text)


@cache
def _leaf_parser(kind: Any) -> Any:
    """Return a jsonargparse parser for one value of a type."""
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    return parser
