"""The help of a command, laid out by argparse."""

import argparse
import shutil
import textwrap
from dataclasses import MISSING
from typing import Any

from qweft.cli.command import Command
from qweft.core import yaml_file
from qweft.core.schema import NAME, Key, is_mapping, keys_of, option_name, placeholder

TARGETS = {
    "ADAPTER": "Folder of the adapter, as `qweft train` or PEFT wrote it.",
    "CONFIG": "YAML file with any of the keys below.",
    "[CONFIG]": "YAML file with any of the keys below; without it, their defaults.",
}
"""Help of the common targets."""
LEAST_WIDTH, MOST_WIDTH = 20, 100
"""Columns of the help, within which it follows the terminal."""


class _Layout(argparse.RawDescriptionHelpFormatter):
    """argparse's layout, except that a name with hyphens stays on one line and can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


def help_text(command: Command) -> str:
    """Return the help of a command: usage, description, example, then every option by section."""
    width = max(LEAST_WIDTH, min(MOST_WIDTH, shutil.get_terminal_size().columns - 2))
    description = textwrap.fill(command.description, width, break_on_hyphens=False)
    parser = argparse.ArgumentParser(
        usage=f"qweft {command.name} [OPTIONS] {command.target}",
        description=f"{description}\n\nexample:\n  {command.example}",
        formatter_class=lambda prog: _Layout(prog, max_help_position=30, width=width),
    )
    if command.target:
        text = command.target_help or TARGETS[command.target]
        parser.add_argument("target", metavar=command.target.strip("[]"), help=text)
    for flag, text in command.flags.items():
        parser.add_argument(f"--{flag}", action="store_true", help=text)
    for name, (word, text) in command.values.items():
        parser.add_argument(f"--{name}", metavar=word, help=text)
    _add_keys(parser, command, width)
    return parser.format_help()


def _add_keys(parser: argparse.ArgumentParser, command: Command, width: int) -> None:
    """Add the keys of a command's config as options, each in the group of its section."""
    groups: dict[str, Any] = {"": parser}
    for key in offered_keys(command):
        if key.is_option:
            section = key.name.rpartition(".")[0]
            any_key = ".KEY" if is_mapping(key.kind) else ""
            groups[section].add_argument(
                f"--{option_name(key.name)}{any_key}", metavar=placeholder(key.kind), help=_help_of(key, command)
            )
        else:
            section = f"{key.name}.{NAME}" if is_mapping(key.kind) else key.name
            title = f"{section}: {key.text[:1].lower()}{key.text[1:].rstrip('.')}"
            groups[section] = parser.add_argument_group(textwrap.fill(title, width - 1, break_on_hyphens=False))


def offered_keys(command: Command) -> list[Key]:
    """Return the keys of a command's config that its help offers: its options and their sections."""
    return [key for key in keys_of(command.options) if key.name not in command.unused]


def _help_of(key: Key, command: Command) -> str:
    """Return the text of an option with its default."""
    is_of_run = key.name.startswith("model.") and "ADAPTER" in command.target  # its default is what the run had
    if not command.shows_defaults or key.default == MISSING or is_of_run:
        return key.text
    return f"{key.text} (default: {_format_default(key.default)})"


def _format_default(default: Any) -> str:
    """Return a default as typed on the command line; "none" for `None` and an empty list."""
    if default is None or default == []:
        return "none"
    if isinstance(default, list):
        return ",".join(map(_format_default, default))
    if isinstance(default, str) and default:
        return default
    return yaml_file.dump(default, flow=True).partition("\n")[0]
