"""`parse` reads a YAML file and dotted options into a config dataclass; `dump_yaml` writes it back."""

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

from qweft.cli import yaml_file
from qweft.cli.command import Arguments, Command, help_text, split
from qweft.cli.schema import call, default_of, is_leaf, is_mapping, joined, keys_of, kinds_of, shown
from qweft.errors import QweftError
from qweft.text import near

Config = TypeVar("Config")

OWN_KEYS = {"methods": "compare", "space": "sweep", "adapter": "train"}
"""Keys that identify another command's config file; the first match counts."""
EXCLUSIVE = {"preset": "peft_type", "peft_type": "preset"}
"""Alternative keys that name an adapter. Setting one by an option removes the other."""
NAMELESS = Command("COMMAND", "", "", target="[CONFIG]")
"""Stands for the command where a config is parsed without one."""


def parse(config_class: type[Config], argv: Sequence[str], command: Command = NAMELESS) -> Config:
    """Returns the config that a command's arguments describe.

    A tree is the nested dict that YAML gives. Each value is checked at its source, so that an error can name the file
    or the option. Options are set in the file's checked tree, and the dataclass is built last.

    Args:
        config_class: `RunConfig` or another config dataclass.
        argv: The arguments after the command's name: at most one YAML file, and dotted options, which win over it.
        command: Provides the allowed flags, the text for `--help`, and whether a config file is required.

    Raises:
        QweftError: If the file or an option is wrong, in one sentence.
        SystemExit: With status 0, after printing the help.

    >>> from qweft.training.config import RunConfig
    >>> parse(RunConfig, ["--adapter.r", "8", "--training.learning_rate", "1e-3"]).adapter
    {'preset': 'qtha', 'r': 8}
    """
    arguments = read_arguments(argv, command)
    file = arguments.targets[0] if arguments.targets else None
    tree = {} if file is None else _config_file(config_class, file, command)
    apply_options(config_class, tree, arguments, command)
    return build(config_class, tree, file or "command line")


def parse_folder(config_class: Any, argv: Sequence[str], command: Command) -> tuple[Path, dict[str, Any], set[str]]:
    """Returns the folder that a command takes, only the keys that were given, and the flags.

    Raises:
        QweftError: If there is no such folder, or an option is wrong.
        SystemExit: With status 0, after printing the help.
    """
    arguments = read_arguments(argv, command)
    folder, given = Path(arguments.targets[0]), dict[str, Any]()
    if not folder.is_dir():
        raise QweftError(f"{folder}: no such folder; qweft {command.name} takes the folder of a trained adapter")
    apply_options(config_class, given, arguments, command)
    return folder, given, arguments.flags


def read_arguments(argv: Sequence[str], command: Command) -> Arguments:
    """Takes the arguments apart; with `--help`, prints the help and exits.

    Raises:
        QweftError: If a required target is missing, or a target is given to a command that takes none.
        SystemExit: With status 0, after the help.
    """
    arguments = split(argv, command.flags, max(1, len(command.target.split())))
    if "help" in arguments.flags:
        print(help_text(command), end="")
        raise SystemExit(0)
    if arguments.targets and not command.target:
        raise QweftError(f"qweft {command.name} takes no arguments, got {arguments.targets[0]}")
    if not arguments.targets and command.target and not command.target.startswith("["):
        raise QweftError(f"qweft {command.name}: {command.target} is missing; for example: {command.example}")
    return arguments


def apply_options(config_class: Any, tree: dict[str, Any], arguments: Arguments, command: Command) -> None:
    """Checks each dotted option and sets it in a checked tree; field names may be typed with hyphens."""
    for typed, text in arguments.options:
        _Reader(config_class, flags=command.flags).put(tree, typed, text)


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


def dump_yaml(config: Any) -> str:
    """Returns the YAML of a config dataclass, with every key; `parse` reads it back to an equal config."""
    return yaml_file.dump(asdict(config))


def suggest(name: str, known: Sequence[str]) -> str | None:
    """Returns the known dotted name that the user most likely meant, or `None`.

    A name that only lacks its section (`batch_size` for `training.batch_size`) is found by its last part.

    >>> suggest("lerning_rate", ["training.learning_rate", "output"])
    'training.learning_rate'
    """
    by_last = {each.rpartition(".")[2]: each for each in reversed(known)}
    lacking = near(name.rpartition(".")[2], by_last, cutoff=0.75)
    return next(iter([*near(name, known, cutoff=0.75), *(by_last[each] for each in lacking)]), None)


def _config_file(config_class: Any, file: str, command: Command) -> dict[str, Any]:
    """Returns a config file's checked tree; rejects data files and other commands' configs with a specific error."""
    name = f"qweft {command.name}"
    if Path(file).suffix.lower() in (".jsonl", ".csv", ".parquet") and Path(file).is_file():
        raise QweftError(f"{file}: {name} takes a config file (YAML) there; give the data as --data.source {file}")
    tree = yaml_file.read(file)
    for key, owner in OWN_KEYS.items():
        if key in tree and key not in kinds_of(config_class):
            raise QweftError(f"{file}: {key} stands in a config of qweft {owner}, and {name} takes another one")
    return _Reader(config_class, file).check(config_class, tree, "")


class _Reader:
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
        if is_dataclass(kind) or is_mapping(kind):
            if isinstance(value, dict) or (value is None and is_dataclass(kind)):  # None: all keys are commented out
                named = [(str(key), joined(name, str(key)), inner) for key, inner in (value or {}).items()]
                return {key: self.check(self._known(kind, key, full), inner, full) for key, full, inner in named}
        else:
            import jsonargparse  # here: the import takes 0.1 s, which `qweft --help` avoids

            # A list may be typed without brackets (100,1000).
            parts = [[part.strip() for part in value.split(",")]] if isinstance(value, str) and not self.file else []
            for reading in [value, *parts]:
                with suppress(jsonargparse.ArgumentError, TypeError, ValueError, OverflowError):
                    converted = _converter(kind).parse_object({"value": reading}).value
                    if converted is not None or type(None) in get_args(kind):  # jsonargparse takes null for all types
                        return converted
        raise self._fault(name, f"expected {call(kind)}, got {_shown_value(value)}")

    def put(self, tree: dict[str, Any], typed: str, text: str | None) -> None:
        """Sets one option in a checked tree and leaves its other keys unchanged.

        A dict of dataclasses (`methods`) accepts options only for entries that it has, so that a mistyped method is an
        error and not a new method. A dict that is not in the tree starts from its default.
        """
        kind, path = self.root, typed.split(".")
        for depth, key in enumerate(path, 1):
            name, above = ".".join(path[:depth]), dict[str, Any] if kind is Any else kind
            key = key.replace("-", "_") if key.replace("-", "_") in kinds_of(above) else key
            kind = self._known(above, key, name)
            if depth == len(path):
                break
            if key not in tree and is_mapping(above) and is_dataclass(kind):
                raise self._unknown(name, tree)
            default = default_of(above, key) if is_dataclass(above) else None
            tree = tree.setdefault(key, default if isinstance(default, dict) else {})
            if not isinstance(tree, dict):
                raise self._fault(typed, f"{name} is {_shown_value(tree)} and has no keys")
        if text is None:
            raise self._fault(typed, "expected a value after it")
        tree.pop(EXCLUSIVE.get(key, ""), None)
        is_yaml = kind is Any or is_dataclass(kind) or is_mapping(kind)
        tree[key] = self.check(kind, yaml_file.load(text, f"--{shown(typed)}") if is_yaml else text, typed)

    def _known(self, kind: Any, key: str, name: str) -> Any:
        """Returns the type of a key below a type; raises if there is no such key."""
        if not is_mapping(kind) and key not in kinds_of(kind):
            raise self._unknown(name, kinds_of(kind))
        return get_args(kind)[1] if is_mapping(kind) else kinds_of(kind)[key]

    def _fault(self, name: str, what: str) -> QweftError:
        return QweftError(f"{self.file}: {name}: {what}" if self.file else f"--{shown(name)}: {what}")

    def _unknown(self, name: str, here: Collection[str]) -> QweftError:
        """Returns the error for an unknown name; without a close match, it lists the names `here`."""
        what = f"{self.file}: unknown key {name}" if self.file else f"unknown option --{name}"
        known = [joined(name.rpartition(".")[0], each) for each in here]
        # The name's own section is no suggestion: training.foo does not mean training.
        known += [each for each, kind, *_ in keys_of(self.root) if is_leaf(kind) or not name.startswith(f"{each}.")]
        close = suggest(name, [*known, *self.flags])
        if close:
            return QweftError(f"{what}; did you mean {close if self.file else f'--{shown(close)}'}?")
        listed = ", ".join(here if self.file or "." in name else map(shown, here))
        return QweftError(f"{what}; known here: {listed}" if listed else what)


@cache
def _converter(kind: Any) -> Any:
    """Returns a jsonargparse parser for one value of a type."""
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    return parser


def _shown_value(value: Any) -> str:
    """Returns a value as JSON, shortened to 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
