"""`Command`, the description of a command: its help, formatted by argparse, and `split` for its argument list."""

import argparse
import shutil
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import MISSING, dataclass, field
from typing import Any

from qweft import yaml_file
from qweft.errors import QweftError
from qweft.schema import NAME, is_leaf, is_mapping, keys_of, kinds_of, placeholder, shown

TRUST = "trust-remote-code"
TRUST_HELP = "Run Python code that the base model's folder or repository holds. Read it first."
"""Flag of every command that loads a base model. It is no config key, so that no file can give the permission."""


@dataclass(frozen=True)
class Command:
    """One command of `qweft`: the source of its usage line, its help and its completion.

    Args:
        name: As typed: `qweft NAME`.
        description: One paragraph.
        example: One line that can be typed as it stands.
        target: The positional arguments as in the usage line, in brackets if they may be left out; empty without any.
        target_help: Help of the target.
        flags: Options without a value, each with its help.
        shows_defaults: Whether the defaults of the config class are the defaults of the command.
        options: The config dataclass whose fields are the options with values; `None` without options.
        verbs: Allowed words for the first target, if it is one of a few.
        unused: Options that only other commands with the same config files use; accepted, but not offered.
    """

    name: str
    description: str
    example: str
    target: str = ""
    target_help: str = ""
    flags: dict[str, str] = field(default_factory=dict)
    shows_defaults: bool = True
    options: Any = None
    verbs: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "model" in kinds_of(self.options):
            object.__setattr__(self, "flags", {**self.flags, TRUST: TRUST_HELP})


class NoOptions:
    """Config class of a command without options that take a value."""


@dataclass
class Arguments:
    """The arguments of a command line.

    Args:
        targets: The positional arguments (a config file, an adapter folder), in order.
        flags: Options without a value that were given, `help` among them.
        options: Dotted names with the text that followed, in order; `None` without text.
    """

    targets: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    options: list[tuple[str, str | None]] = field(default_factory=list)


def split(argv: Sequence[str], flags: Collection[str] = (), targets: int = 1) -> Arguments:
    """Takes an argument list apart, without checking names or values.

    Args:
        argv: The arguments after the command's name.
        flags: Names, without dashes, of the options that take no value.
        targets: Maximum number of positional arguments.

    Raises:
        QweftError: If there are more positional arguments, an option is malformed, or a flag has a value.

    >>> split(["a.yaml", "--adapter.r", "8", "--training.seed=1", "--json"], ["json"]).options
    [('adapter.r', '8'), ('training.seed', '1')]
    """
    found, waiting = Arguments(), ["--help" if word == "-h" else word for word in argv]
    flag_of = {name.replace("_", "-"): name for name in (*flags, "help")}  # may be typed with underscores
    while waiting:
        word = waiting.pop(0)
        name, has_value, text = word[2:].partition("=")
        flag = flag_of.get(name.replace("_", "-"))
        if not word.startswith("-"):
            if len(found.targets) == targets:
                way = "leave it out, or put a value that has a space in quotes"
                raise QweftError(f"unexpected argument {word!r} after {found.targets[-1]!r}; {way}")
            found.targets.append(word)
        elif not word.startswith("--") or word == "--":
            raise QweftError(f"unknown option {word}; options begin with two dashes and a name")
        elif flag and has_value:
            raise QweftError(f"--{name} takes no value, got {text}; leave ={text} out")
        elif flag:
            found.flags.add(flag)
        else:
            follows = bool(waiting) and not waiting[0].startswith("--")  # a value may begin with one dash (-1)
            found.options.append((name, text if has_value else waiting.pop(0) if follows else None))
    return found


class _Layout(argparse.RawDescriptionHelpFormatter):
    """argparse's layout, except that a name with hyphens stays on one line and can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


def help_text(command: Command) -> str:
    """Returns the help of a command: usage, description, example, then every option by section."""
    width = max(20, min(100, shutil.get_terminal_size().columns - 2))
    parser = argparse.ArgumentParser(
        usage=f"qweft {command.name} [OPTIONS] {command.target}",
        description=textwrap.fill(command.description, width, break_on_hyphens=False)
        + f"\n\nexample:\n  {command.example}",
        formatter_class=lambda prog: _Layout(prog, max_help_position=30, width=width),
    )
    if command.target:
        parser.add_argument("target", metavar=command.target.strip("[]"), help=command.target_help)
    for flag, text in command.flags.items():
        parser.add_argument(f"--{flag}", action="store_true", help=text)
    groups: dict[str, Any] = {"": parser}
    for name, kind, default, text in keys_of(command.options or NoOptions):
        if not is_leaf(kind):
            section = f"{name}.{NAME}" if is_mapping(kind) else name
            title = f"{section}: {text[:1].lower()}{text[1:].rstrip('.')}"
            groups[section] = parser.add_argument_group(textwrap.fill(title, width - 1, break_on_hyphens=False))
        elif name not in command.unused:
            of_run = name.startswith("model.") and "ADAPTER" in command.target  # its default is what the run had
            shows = command.shows_defaults and default != MISSING and not of_run
            groups[name.rpartition(".")[0]].add_argument(
                f"--{shown(name)}{'.KEY' if is_mapping(kind) else ''}",
                metavar=placeholder(kind),
                help=text + (f" (default: {_typed(default)})" if shows else ""),
            )
    return parser.format_help()


def _typed(default: Any) -> str:
    """Returns a default as typed on the command line; "none" for `None` and an empty list."""
    if default is None or isinstance(default, list):
        return ",".join(map(_typed, default or ())) or "none"
    return default if isinstance(default, str) and default else yaml_file.dump(default, flow=True).partition("\n")[0]
