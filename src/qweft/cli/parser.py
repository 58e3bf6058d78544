"""`Call`, a command line taken apart; `parse` reads its YAML file and dotted options into a config dataclass."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import IO, Any, Literal, TypeVar, Union, get_args, get_origin

from qweft.cli.command import TRUST, Command
from qweft.cli.help import help_text
from qweft.cli.terminal import print_json, show
from qweft.core import yaml_file
from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.core.schema import (
    ALTERNATIVES,
    Reader,
    build,
    default_of,
    is_leaf,
    is_mapping,
    kinds_of,
    shown,
    shown_value,
    text_key,
)
from qweft.method.presets import read_circuits
from qweft.models.config import allow_remote_code

Config = TypeVar("Config")

OWN_KEYS = {"space": "tune", "methods": "compare", "adapter": "train"}
"""Keys that identify another command's config file; the first match counts."""
WRITTEN = ("output", "picture")
"""Keys that name a folder or a file to write."""
DATA_FILES = (".jsonl", ".csv", ".parquet", ".txt", ".md")
"""Endings of data, which are no config."""
WORDS_WITH_COMMAS = re.compile(r"[\w.*-]+(\s*,\s*[\w.*-]+)+")
"""A list typed without brackets, where any value is allowed."""


@dataclass
class Call:
    """A command line, taken apart."""

    command: Command
    argv: Sequence[str]  # after the command's name
    targets: list[str] = field(default_factory=list)  # the positional arguments
    flags: set[str] = field(default_factory=set)  # options without a value that were given, `help` among them
    options: list[tuple[str, str | None]] = field(default_factory=list)  # dotted names with the text that followed
    values: dict[str, str] = field(default_factory=dict)  # the same for options that are no key of the config
    stdout: IO[str] = field(default_factory=lambda: sys.stdout)

    @property
    def line(self) -> str:
        """The whole command line."""
        return shlex.join(["qweft", self.command.name, *self.argv])

    @property
    def is_dry(self) -> bool:
        """Whether the command only says what it would do."""
        return "dry-run" in self.flags

    @property
    def folder(self) -> Path:
        """The folder of an adapter that the command takes."""
        folder = Path(self.targets[0])
        if not folder.is_dir():
            name = self.command.name
            raise QweftError(f"{folder}: no such folder; qweft {name} takes the folder of a trained adapter")
        return folder

    def given(self, config_class: Any = None, tree: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a checked tree with each option set in it; of a new one, the keys that were given alone."""
        tree = {} if tree is None else tree
        names = {typed.replace("-", "_") for typed, _ in self.options}
        for name in sorted(names):
            section, _, key = name.rpartition(".")
            if (other := f"{section}.{ALTERNATIVES.get(key)}") in names:
                raise QweftError(f"--{name} and --{other} exclude each other; leave one of them out")
        own = {**self.command.flags, **self.command.values}
        options = Options(config_class or self.command.options, flags=own)
        for typed, text in self.options:
            options.put(tree, typed, text)
        for key in WRITTEN:
            named = tree.get(key)
            if named == "":
                raise QweftError(f"--{key}: the name is empty; give one, or leave the option out")
            if isinstance(named, str) and named.startswith("~"):  # no shell reads YAML, nor --output=~/runs
                tree[key] = str(named_path(named))
        return tree

    def apart(self, *sections: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the given keys outside and inside of some sections, which override those of a training run."""
        given = self.given()
        overrides = {name: given.pop(name) for name in sections if name in given}
        return given, overrides

    def config(self, config_class: Any = None) -> Any:
        """Return the config that the file and the options, which win over it, describe."""
        kind = config_class or self.command.options
        file = next(iter(self.targets), None)
        if "from" in self.values:
            file = winner_config(self.values["from"], self.targets)
        tree: dict[str, Any] = {}
        if file is not None:
            if Path(file).is_dir() or Path(file).suffix.lower() in DATA_FILES:
                what = f"qweft {self.command.name} takes a config file (YAML) there"
                raise QweftError(f"{file}: {what}; data are given as --data.source {file}")
            tree = yaml_file.read(file)
            for key, owner in OWN_KEYS.items():
                if key in tree and key not in kinds_of(kind):
                    what = f"{key} stands in a config of qweft {owner}"
                    raise QweftError(f"{file}: {what}, and qweft {self.command.name} takes another one")
            tree = Reader(kind, file).check(kind, tree, "")
        return build(kind, read_circuits(self.given(kind, tree)), file or "command line")

    @contextmanager
    def printing(self) -> Iterator[None]:
        """Print on standard output in the block, also with --json, where it is kept free for the result."""
        with redirect_stdout(self.stdout):
            yield

    def answer(self, result: Any, as_text: Callable[[], Any] | None = None) -> None:
        """Print a result by its `to_json` or `describe`, as was asked for; a plain value comes with its text."""
        with self.printing():
            if "json" in self.flags:
                print_json(result.to_json() if hasattr(result, "to_json") else result)
            else:
                show((as_text or result.describe)())


def split(argv: Sequence[str], command: Command) -> Call:
    """Take an argument list apart, without checking names or values."""
    call, waiting = Call(command, argv), ["--help" if word == "-h" else word for word in argv]
    most = len(argv) if command.target.endswith("...") else max(1, len(command.target.split()))
    typed = {name.replace("_", "-"): name for name in (*command.flags, *command.values, "help")}  # hyphens or not
    while waiting:
        word = waiting.pop(0)
        name, has_value, text = word[2:].partition("=")
        own = typed.get(name.replace("_", "-"))
        if not word.startswith("-"):
            if len(call.targets) == most:
                way = "leave it out, or put a value that has a space in quotes"
                raise QweftError(f"unexpected argument {word!r} after {call.targets[-1]!r}; {way}")
            call.targets.append(word)
        elif not word.startswith("--") or word == "--":
            raise QweftError(f"unknown option {word}; options begin with two dashes and a name")
        elif own and own not in command.values:
            if has_value:
                raise QweftError(f"--{name} takes no value, got {text}; leave ={text} out")
            call.flags.add(own)
        else:
            follows = bool(waiting) and not waiting[0].startswith("--")  # a value may begin with one dash (-1)
            value = text if has_value else waiting.pop(0) if follows else None
            if not own:
                key = text_key(kinds_of(command.options).get(name)) if value and "{" not in value else None
                call.options.append((f"{name}.{key}" if key else name, value))
            elif not value:
                raise QweftError(f"--{own}: expected a value after it")
            else:
                call.values[own] = value
    return call


def winner_config(folder: str, targets: Sequence[str] = ()) -> str:
    """Return the config that trains the winner of a comparison in full."""
    if targets:
        raise QweftError("--from takes the folder of a comparison, and no config beside it: qweft train --from runs/my")
    path = Path(folder) / "winner" / "train.yaml"
    if not path.is_file():
        raise QweftError(f"--from {folder}: there is no {path}; name the folder of a finished `qweft compare DATA`")
    return str(path)


def read(argv: Sequence[str], command: Command) -> Call:
    """Take the arguments apart, and note whether code of a base model may run; with `--help`, print it and exit."""
    call, name = split(argv, command), f"qweft {command.name}"
    if "help" in call.flags:
        print(help_text(command), end="")
        raise SystemExit(0)
    allow_remote_code(bool(call.flags & set(TRUST)))
    if call.targets and not command.target:
        raise QweftError(f"{name} takes no arguments, got {call.targets[0]}")
    if not call.targets and command.target and not command.target.startswith("["):
        raise QweftError(f"{name}: {command.target} is missing; for example: {command.example}")
    if call.targets and command.verbs and call.targets[0] not in command.verbs:
        raise QweftError(f"{name}: there is no {call.targets[0]}; there are {', '.join(command.verbs)}")
    if command.options is None:
        call.given()
    return call


def parse(config_class: type[Config], argv: Sequence[str], command: Command | None = None) -> Config:
    """Return the config that a command's arguments describe: at most one YAML file, and dotted options.

    Raises:
        QweftError: The file or an option is wrong, in one sentence.
        SystemExit: With status 0, after the help.

    >>> from qweft.training.config import RunConfig
    >>> parse(RunConfig, ["--adapter.r", "8", "--training.learning_rate", "1e-3"]).adapter
    {'preset': 'qtha', 'r': 8}
    """
    command = command or Command("COMMAND", target="[CONFIG]", config=config_class)
    config: Config = read(argv, command).config(config_class)
    return config


def dump_yaml(config: Any) -> str:
    """Return the YAML of a config dataclass, with every key; `parse` reads it back to an equal config."""
    return yaml_file.dump(asdict(config))


class Options(Reader):
    """Checks the options of a command line, and sets each in a checked tree."""

    def put(self, tree: dict[str, Any], typed: str, text: str | None) -> None:
        """Set one option in a checked tree, whose fields may be typed with hyphens, and leave its other keys unchanged.

        A dict of dataclasses (`methods`) accepts options only for entries that it has, so that a mistyped method is an
        error and not a new method. A dict that is not in the tree starts from its default.
        """
        kind, path = self.root, typed.split(".")
        for depth, key in enumerate(path, 1):
            name, above = ".".join(path[:depth]), dict[str, Any] if kind is Any else kind
            key = key.replace("-", "_") if key.replace("-", "_") in kinds_of(above) else key
            kind = self.known(above, key, name)
            if depth == len(path):
                break
            if key not in tree and is_mapping(above) and is_dataclass(kind):
                raise self.unknown(name, tree)
            default = default_of(above, key) if is_dataclass(above) else None
            tree = tree.setdefault(key, default if isinstance(default, dict) else {})
            if not isinstance(tree, dict):
                raise self.fault(typed, f"{name} is {shown_value(tree)} and has no keys")
        if text is None:
            raise self.fault(typed, "expected a value after it")
        tree.pop(ALTERNATIVES.get(key, ""), None)
        tree[key] = self.typed(kind, text, typed)

    def typed(self, kind: Any, text: str, name: str) -> Any:
        """Return the checked value of an option's text: YAML, except for texts and words; a list needs no brackets."""
        members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        value: Any = text
        if str in members:
            value = None if text == "null" and NoneType in members else text
        elif text in ("none", "null") and NoneType in members:  # the help writes none
            value = None
        elif text.strip() and not any(get_origin(each) is Literal for each in members):
            value = yaml_file.load(text, f"--{shown(name)}")
        has_list = any(get_origin(each) is list for each in members)
        if has_list and value is not None and not isinstance(value, list):
            value = yaml_file.load(f"[{text}]", f"--{shown(name)}")
        if kind is Any and isinstance(value, str) and WORDS_WITH_COMMAS.fullmatch(value):
            value = [word.strip() for word in value.split(",")]
        return self.check(kind, value, name, text if is_leaf(kind) and not is_mapping(kind) else value)
