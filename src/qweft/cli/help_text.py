"""The help of a command: texts from the docstrings of its config class, formatted by argparse."""

import argparse
import dataclasses
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from qweft.cli import yaml_file
from qweft.cli.command import Command, NoOptions
from qweft.cli.schema import NAME, default_of, is_leaf, is_mapping, joined, kinds_of, placeholder, shown


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a command: a field of its config class. `section` is the title of its group in the help."""

    section: str
    name: str
    kind: Any
    text: str
    default: Any


def options_of(config_class: Any, prefix: str = "", section: str = "general") -> Iterator[Option]:
    """Yields every option below a config dataclass: plain options, then sections, then dicts of sections."""
    from docstring_parser import parse

    told = [each for owner in config_class.__mro__ for each in parse(owner.__doc__ or "").params]
    texts = {each.arg_name: " ".join((each.description or "").split()) for each in reversed(told)}
    kinds = kinds_of(config_class)
    for field in sorted(dataclasses.fields(config_class), key=lambda each: _depth(kinds[each.name])):
        kind, text = kinds[field.name], texts.get(field.name, "")
        name = joined(prefix, field.name)
        if is_leaf(kind):
            yield Option(section, name, kind, text, default_of(config_class, field.name))
            continue
        below, inner = (f"{name}.{NAME}", get_args(kind)[1]) if is_mapping(kind) else (name, kind)
        yield from options_of(inner, below, f"{below}: {text[:1].lower()}{text[1:].rstrip('.')}")


def _depth(kind: Any) -> int:
    return 0 if is_leaf(kind) else 2 if is_mapping(kind) else 1


def help_text(command: Command) -> str:
    """Returns the help of a command: usage, description, example, then every option by section."""
    width = min(100, shutil.get_terminal_size().columns - 2)

    class Layout(argparse.RawDescriptionHelpFormatter):
        """argparse's layout, except that a name with hyphens stays on one line and can be copied."""

        def _split_lines(self, text: str, width: int) -> list[str]:
            return _fill(text, width).splitlines()

    target = command.target if command.target_required or not command.target else f"[{command.target}]"
    dotted = "[--SECTION.KEY VALUE ...]" if command.target and command.options is not None else ""
    parser = argparse.ArgumentParser(
        usage=" ".join(
            filter(None, ["qweft", command.name, target, dotted, *(f"[--{each}]" for each in command.flags)])
        ),
        description=f"{_fill(command.description, width)}\n\nexample:\n  {command.example}",
        formatter_class=lambda prog: Layout(prog, max_help_position=30, width=width),
        add_help=False,
    )
    groups = {"": parser.add_argument_group("arguments")}
    if command.target:
        groups[""].add_argument("target", metavar=command.target, help=_escape(command.target_help))
    groups[""].add_argument("-h", "--help", action="store_true", help="Show this help and exit.")
    for flag, text in command.flags.items():
        groups[""].add_argument(f"--{flag}", action="store_true", help=_escape(text))
    for option in options_of(command.options or NoOptions):
        if option.name in command.unused:
            continue
        if option.section not in groups:
            groups[option.section] = parser.add_argument_group(_fill(option.section, width - 1))
        with_default = command.shows_defaults and option.default is not dataclasses.MISSING
        groups[option.section].add_argument(
            f"--{shown(option.name)}" + (".KEY" if is_mapping(option.kind) else ""),
            metavar=placeholder(option.kind),
            help=_escape(option.text + (f" (default: {_typed(option.default)})" if with_default else "")),
        )
    return parser.format_help()


def _typed(default: Any) -> str:
    """Returns a default as typed on the command line; "none" for `None` and an empty list."""
    if default is None or default == []:
        return "none"
    if isinstance(default, list):
        return ",".join(map(_typed, default))
    return default if isinstance(default, str) and default else yaml_file.dump_line(default)


def _fill(text: str, width: int) -> str:
    """Returns a text in lines of at most this width, broken only between words."""
    return textwrap.fill(" ".join(text.split()), width, break_on_hyphens=False)


def _escape(text: str) -> str:
    """Returns a text with its percent signs escaped for argparse."""
    return text.replace("%", "%%")
