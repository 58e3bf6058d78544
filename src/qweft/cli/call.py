"""`Call`: a command line taken apart, its config, and the answer of its command."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from qweft.cli.command import Command
from qweft.cli.option_reader import OptionReader
from qweft.cli.terminal import print_json, show
from qweft.core import yaml_file
from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.core.reader import Reader, build
from qweft.core.schema import ALTERNATIVES, field_types
from qweft.method.presets import read_circuits

CONFIG_OWNERS = {"space": "tune", "methods": "compare", "adapter": "train"}
"""Keys that identify another command's config file; the first one that the file has counts."""
WRITTEN = ("output", "picture")
"""Keys that name a folder or a file to write."""
DATA_ENDINGS = (".jsonl", ".csv", ".parquet", ".txt", ".md")
"""Endings of data, which are no config."""


@dataclass
class Call:
    """A command line, taken apart."""

    command: Command
    argv: Sequence[str]  # after the command's name
    targets: list[str] = field(default_factory=list)  # the positional arguments
    flags: set[str] = field(default_factory=set)  # options without a value that were given, `help` among them
    options: list[tuple[str, str | None]] = field(default_factory=list)  # names of keys as typed, each with its text
    values: dict[str, str] = field(default_factory=dict)  # the texts of options that are no key of the config
    # as it is before --json sends all that is printed to standard error
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
    def wants_json(self) -> bool:
        """Whether standard output is for one JSON value alone."""
        return "json" in self.flags

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
        self._check_exclusive()
        other_options = {**self.command.flags, **self.command.values}
        # flags and values are suggested too, where a mistyped option is like one of them
        reader = OptionReader(config_class or self.command.options, flags=other_options)
        for name, text in self.options:
            reader.put(tree, name, text)
        for key in WRITTEN:
            path = tree.get(key)
            if path == "":
                raise QweftError(f"--{key}: the name is empty; give one, or leave the option out")
            if isinstance(path, str) and path.startswith("~"):  # no shell reads YAML, nor --output=~/runs
                tree[key] = str(named_path(path))
        return tree

    def _check_exclusive(self) -> None:
        """Check that no two options name the same thing: the last one would win without a word."""
        names = {name.replace("-", "_") for name, _ in self.options}
        for name in sorted(names):
            section, _, key = name.rpartition(".")
            alternative = f"{section}.{ALTERNATIVES.get(key)}"
            if alternative in names:
                raise QweftError(f"--{name} and --{alternative} exclude each other; leave one of them out")

    def given_apart(self, *sections: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the given keys outside and inside of some sections, which override those of a training run."""
        options = self.given()
        overrides = {}
        for section in sections:
            if section in options:
                overrides[section] = options.pop(section)
        return options, overrides

    def config(self, config_class: Any = None) -> Any:
        """Return the config that the file and the options, which win over it, describe."""
        kind = config_class or self.command.options
        file = self.targets[0] if self.targets else None
        if "from" in self.values:  # in place of a file: what compare wrote for its winner
            file = winner_config(self.values["from"], self.targets)
        tree: dict[str, Any] = {}
        if file is not None:
            tree = self._read_file(kind, file)
        return build(kind, read_circuits(self.given(kind, tree)), file or "command line")

    def _read_file(self, config_class: Any, file: str) -> dict[str, Any]:
        """Return the checked tree of a config file; data, or the config of another command, is an error."""
        path = Path(file)
        if path.is_dir() or path.suffix.lower() in DATA_ENDINGS:
            raise QweftError(
                f"{file}: qweft {self.command.name} takes a config file (YAML) there; data are given as "
                f"--data.source {file}"
            )
        tree = yaml_file.read(file)
        for key, owner in CONFIG_OWNERS.items():
            if key in tree and key not in field_types(config_class):
                takes = f"qweft {self.command.name} takes another one"
                raise QweftError(f"{file}: {key} stands in a config of qweft {owner}, and {takes}")
        checked: dict[str, Any] = Reader(config_class, file).check(config_class, tree, "")
        return checked

    @contextmanager
    def printing(self) -> Iterator[None]:
        """Print on standard output in the block, also with --json, where it is kept free for the result."""
        with redirect_stdout(self.stdout):
            yield

    def answer(self, result: Any, as_text: Callable[[], Any] | None = None) -> None:
        """Print a result by its `to_json` or `describe`, as was asked for; a plain value comes with its text."""
        with self.printing():
            if not self.wants_json:
                show((as_text or result.describe)())
            elif hasattr(result, "to_json"):
                print_json(result.to_json())
            else:
                print_json(result)


def winner_config(folder: str, targets: Sequence[str] = ()) -> str:
    """Return the config that trains the winner of a comparison in full."""
    if targets:
        raise QweftError("--from takes the folder of a comparison, and no config beside it: qweft train --from runs/my")
    path = Path(folder) / "winner" / "train.yaml"
    if not path.is_file():
        raise QweftError(f"--from {folder}: there is no {path}; name the folder of a finished `qweft compare DATA`")
    return str(path)
