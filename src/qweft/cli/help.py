"""The help of a command, laid out by argparse."""

import argparse
import shutil
import textwrap
from dataclasses import MISSING
from typing import Any

from qweft.cli.command import Command
from qweft.core import yaml_file
from qweft.core.schema import NAME, is_leaf, is_mapping, keys_of, placeholder, shown

TARGETS = {
    "ADAPTER": "Folder of the adapter, as `qweft train` or PEFT wrote it.",
    "CONFIG": "YAML file with any of the keys below.",
    "[CONFIG]": "YAML file with any of the keys below; without it, their defaults.",
}
"""Help of the common targets."""


class _Layout(argparse.RawDescriptionHelpFormatter):
    """argparse's layout, except that a name with hyphens stays on one line and can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


def help_text(command: Command) -> str:
    """Return the help of a command: usage, description, example, then every option by section."""
    width = max(20, min(100, shutil.get_terminal_size().columns - 2))
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
    for name, (value, text) in command.values.items():
        parser.add_argument(f"--{name}", metavar=value, help=text)
    groups: dict[str, Any] = {"": parser}
    for name, kind, default, text in settings(command):
        if not is_leaf(kind):
            section = f"{name}.{NAME}" if is_mapping(kind) else name
            title = f"{section}: {text[:1].lower()}{text[1:].rstrip('.')}"
            groups[section] = parser.add_argument_group(textwrap.fill(title, width - 1, break_on_hyphens=False))
            continue
        of_run = name.startswith("model.") and "ADAPTER" in command.target  # its default is what the run had
        if command.shows_defaults and default != MISSING and not of_run:
            text += f" (default: {_typed(default)})"
        option = f"--{shown(name)}{'.KEY' if is_mapping(kind) else ''}"
        groups[name.rpartition(".")[0]].add_argument(option, metavar=placeholder(kind), help=text)
    return parser.format_help()


def settings(command: Command) -> list[tuple[str, Any, Any, str]]:
    """Return dotted name, type, default and text of each option that takes a value, and of each section."""
    return [key for key in keys_of(command.options) if key[0] not in command.unused]


def _typed(default: Any) -> str:
    """Return a default as typed on the command line; "none" for `None` and an empty list."""
    if default is None or isinstance(default, list):
        return ",".join(map(_typed, default or ())) or "none"
    return default if isinstance(default, str) and default else yaml_file.dump(default, flow=True).partition("\n")[0]
