"""The help of a command: texts from the docstrings of its config class, formatted by argparse."""

import argparse
import shutil
import textwrap
from dataclasses import MISSING
from typing import Any

from qweft.cli import yaml_file
from qweft.cli.command import Command, NoOptions
from qweft.cli.schema import NAME, is_leaf, is_mapping, keys_of, placeholder, shown


class _Layout(argparse.RawDescriptionHelpFormatter):
    """argparse's layout, except that a name with hyphens stays on one line and can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


def help_text(command: Command) -> str:
    """Returns the help of a command: usage, description, example, then every option by section."""
    width = min(100, shutil.get_terminal_size().columns - 2)
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
            groups[name.rpartition(".")[0]].add_argument(
                f"--{shown(name)}{'.KEY' if is_mapping(kind) else ''}",
                metavar=placeholder(kind),
                help=text + (f" (default: {_typed(default)})" if command.shows_defaults and default != MISSING else ""),
            )
    return parser.format_help()


def _typed(default: Any) -> str:
    """Returns a default as typed on the command line; "none" for `None` and an empty list."""
    if default is None or isinstance(default, list):
        return ",".join(map(_typed, default or ())) or "none"
    return default if isinstance(default, str) and default else yaml_file.dump(default, flow=True).partition("\n")[0]
