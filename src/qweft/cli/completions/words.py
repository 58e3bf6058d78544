"""All words that can stand after `qweft`, from the same dataclasses as the help; nothing heavy is imported."""

import importlib
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from qweft.cli.command import Command
from qweft.cli.main import COMMANDS
from qweft.cli.schema import NAME_PLACEHOLDER, is_mapping, is_section, names, shown

Takes = Literal["nothing", "choice", "file", "other", "more"]
"""What comes after an option: nothing; one of a few words; text, which may name a file; a number; or, without a space,
a key that the user chooses (`--adapter.`)."""

MACHINES = ("auto", "cpu", "cuda", "mps", "meta")
DEVICES = ("exact", "shots", "noisy")
"""Where a model computes, and where circuits run: names of a form that is open, so no type has them. Families of other
packages' devices (`FAMILY:NAME`) are left out: bash takes words apart at a colon."""
SUGGESTED = {"model.device": MACHINES, "device": DEVICES, "training.device": DEVICES}
"""By the name of the option."""


@dataclass(frozen=True)
class Option:
    """One option.

    Args:
        name: With its dashes.
        takes: What comes after it.
        choices: The words that can, where they are few.
    """

    name: str
    takes: Takes
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Words:
    """What can stand after one command.

    Args:
        command: Its name.
        about: What it does, in a line.
        options: Its options, in the order of the help.
        takes_target: Whether there are arguments without dashes.
        verbs: What the first of them can be, where it is one of a few words.
    """

    command: str
    about: str
    options: tuple[Option, ...]
    takes_target: bool
    verbs: tuple[str, ...]

    @property
    def takes_files(self) -> bool:
        """Whether its arguments may name files and folders."""
        return self.takes_target and self.command not in ("jobs", "completion", "help")


def all_words() -> tuple[Words, ...]:
    """Those of all commands, in the order of the help, and of `help` itself."""
    found = []
    for name, about in COMMANDS.items():
        command: Command = importlib.import_module(f"qweft.cli.{name}").COMMAND
        found.append(Words(name, about, tuple(_options(command)), bool(command.target), command.verbs))
    found.append(Words("help", "show what a command takes", (), True, tuple(COMMANDS)))
    return tuple(found)


def by_value(words: Iterable[Words]) -> dict[Option, list[str]]:
    """Each different option, with the commands that have it."""
    found: dict[Option, list[str]] = {}
    for each in words:
        for option in each.options:
            found.setdefault(option, []).append(each.command)
    return found


def _options(command: Command) -> list[Option]:
    found = {name: Option(name, "nothing") for name in ("--help", *(f"--{flag}" for flag in command.flags))}
    for dotted, kind in (names(command.options) if command.options is not None else {}).items():
        option = _option(dotted, kind)
        if option is not None and dotted not in command.unused:
            found.setdefault(option.name, option)
    return list(found.values())


def _option(dotted: str, kind: Any) -> Option | None:
    """The option of a name of the config class; none for a section, which is no option by itself."""
    before, chosen, _ = dotted.partition(f".{NAME_PLACEHOLDER}")
    if chosen or is_mapping(kind):  # below a key that the user chooses nothing is known before it is typed
        return Option(f"--{shown(before)}.", "more")
    if is_section(kind):
        return None
    choices = _choices(kind) or SUGGESTED.get(dotted, ())
    takes: Takes = "choice" if choices else "file" if _is_text(kind) else "other"
    return Option(f"--{shown(dotted)}", takes, choices)


def _choices(kind: Any) -> tuple[str, ...]:
    """The values that a type has, where they are few: of a list, those of its entries."""
    if kind is bool:
        return ("true", "false")
    if get_origin(kind) is Literal:
        return tuple(str(choice) for choice in get_args(kind))
    return tuple(choice for inner in _inner(kind) for choice in _choices(inner))


def _is_text(kind: Any) -> bool:
    return kind is str or any(_is_text(inner) for inner in _inner(kind))


def _inner(kind: Any) -> tuple[Any, ...]:
    """What an optional, a union or a list is made of."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType, list) else ()
