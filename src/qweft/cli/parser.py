"""`parse`: a YAML file and dotted options into a config dataclass; `dump_yaml`: the dataclass back into YAML."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from qweft.cli import yaml_file
from qweft.cli.arguments import Arguments, split
from qweft.cli.command import Command
from qweft.cli.help_text import help_text
from qweft.cli.schema import kinds_of, spelled
from qweft.cli.source import Source
from qweft.cli.values import Text, build, check, find, put
from qweft.errors import QweftError

Config = TypeVar("Config")

ROWS = (".jsonl", ".csv", ".parquet")
"""Endings of rows, which no config has."""
OWN_KEYS = {"methods": "compare", "space": "sweep", "adapter": "train"}
"""By these a config is known to be another command's, the first that it has."""


def parse(config_class: type[Config], argv: Sequence[str], command: Command | None = None) -> Config:
    """Return the config that a command's arguments describe.

    Args:
        config_class: `RunConfig` or `ComparisonConfig`.
        argv: The arguments after the command's name: at most one YAML file, dotted options on top.
        command: Its flags are allowed, its help is printed for `--help`, its config file may be required.

    Raises:
        QweftError: Something is wrong with the file or with an option, said in one sentence.
        SystemExit: With status 0, after printing the help that was asked for.

    >>> from qweft.training.config import RunConfig
    >>> parse(RunConfig, ["--adapter.r", "8", "--training.learning_rate", "1e-3"]).adapter
    {'preset': 'qtha', 'r': 8}
    """
    arguments = read_arguments(config_class, argv, command)
    tree: dict[str, Any] = {}
    if arguments.target is not None:
        source = Source(arguments.target)
        tree = check(config_class, _config_file(config_class, arguments.target, command), "", source, config_class)
    apply_options(config_class, tree, arguments, command)
    config: Config = build(config_class, tree, arguments.target or "command line")
    return config


def _config_file(config_class: Any, file: str, command: Command | None) -> dict[str, Any]:
    """Return what a config file holds; a file of rows, and the config of another command, are told by what they are."""
    name = f"qweft {command.name}" if command else "this"
    if Path(file).suffix.lower() in ROWS and Path(file).is_file():
        raise QweftError(f"{file}: {name} takes a config file (YAML) there; give the data as --data.source {file}")
    tree = yaml_file.read(file)
    for key, owner in OWN_KEYS.items():
        if key in tree and key not in kinds_of(config_class):
            raise QweftError(f"{file}: {key} stands in a config of qweft {owner}, and {name} takes another one")
    return tree


def flags_of(argv: Sequence[str], command: Command) -> set[str]:
    """The command's flags that were given, by their names, however they were spelled (--dry-run, --dry_run)."""
    return split(argv, command.flags, len(argv)).flags


def parse_folder(config_class: Any, argv: Sequence[str], command: Command) -> tuple[Path, dict[str, Any], set[str]]:
    """Return the folder that a command takes, the keys that were given and no others, and the flags.

    Raises:
        QweftError: There is no such folder, or something is wrong with an option.
    """
    arguments = read_arguments(config_class, argv, command)
    folder = Path(arguments.target or "")
    if not folder.is_dir():
        raise QweftError(f"{folder}: no such folder; qweft {command.name} takes the folder of a trained adapter")
    given: dict[str, Any] = {}
    apply_options(config_class, given, arguments, command)
    return folder, given, arguments.flags


def read_arguments(config_class: Any, argv: Sequence[str], command: Command | None) -> Arguments:
    """Take the arguments apart; print the help and exit where it was asked for.

    Raises:
        QweftError: The target that the command needs is not there, or there is one that it does not take.
        SystemExit: With status 0, after the help.
    """
    arguments = split(argv, command.flags if command else (), max(1, len(command.target.split())) if command else 1)
    if command is None:
        return arguments
    if arguments.wants_help:
        print(help_text(command, config_class), end="")
        raise SystemExit(0)
    if arguments.targets and not command.target:
        raise QweftError(f"qweft {command.name} takes no arguments, got {arguments.targets[0]}")
    if command.target_required and arguments.target is None:
        raise QweftError(f"qweft {command.name}: {command.target} is missing; for example: {command.example}")
    return arguments


def apply_options(config_class: Any, tree: dict[str, Any], arguments: Arguments, command: Command | None) -> None:
    """Check each dotted option and set it in a checked tree; hyphens in the names of fields may be typed."""
    source = Source(flags=tuple(command.flags) if command else ())
    for typed, text in arguments.options:
        name = spelled(config_class, typed)
        kind = find(config_class, name, source)
        if text is None:
            raise source.fault(typed, "expected a value after it")
        put(config_class, tree, name, check(kind, Text(text), typed, source, config_class), source)


def dump_yaml(config: Any) -> str:
    """Return the YAML of a config dataclass, with every key; `parse` reads it back to an equal config."""
    return yaml_file.dump(asdict(config))


__all__ = ["dump_yaml", "flags_of", "parse", "parse_folder"]
