"""The help of a command: jsonargparse reads texts and defaults off the config class, argparse lays them out."""

import argparse
import shutil
import textwrap
from typing import Any, get_args

from qweft.cli import yaml_file
from qweft.cli.command import Command
from qweft.cli.schema import NAME_PLACEHOLDER, is_mapping, is_section, kinds_of, names, placeholder, shown


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """argparse's layout, in which a name with hyphens stays on one line, so that it can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _fill(text, width).splitlines()


def help_text(command: Command, config_class: Any = None) -> str:
    """Return the help of a command: usage, description, example, then every option by section.

    Args:
        command: What the command says about itself.
        config_class: The dataclass whose fields are its options; none for a command without options.
    """
    width = min(100, shutil.get_terminal_size().columns - 2)
    parser = argparse.ArgumentParser(
        usage=command.usage,
        description=f"{_fill(command.description, width)}\n\nexample:\n  {command.example}",
        formatter_class=lambda prog: _Formatter(prog, max_help_position=30, width=width),
        add_help=False,
    )
    own = parser.add_argument_group("arguments")
    if command.target:
        own.add_argument("target", metavar=command.target, help=_escape(command.target_help))
    own.add_argument("-h", "--help", action="store_true", help="Show this help and exit.")
    for flag, text in command.flags.items():
        own.add_argument(f"--{flag}", action="store_true", help=_escape(text))
    if config_class is not None:
        _add_options(parser, config_class, command, width)
    return parser.format_help()


def _add_options(parser: argparse.ArgumentParser, config_class: Any, command: Command, width: int) -> None:
    """Add every option of a config class, one group a section.

    jsonargparse's own layout is not used: it offers each section as one more option, splits a dict of dataclasses
    from its keys, and repeats long names as placeholders.
    """
    read = _read(config_class)
    kinds = {key: kind for key, kind in names(config_class).items() if key not in command.unused}
    texts = {action.dest: action.help for action in read._actions}
    for group in read._action_groups:
        options = [action for action in group._group_actions if action.dest in kinds and _is_leaf(kinds[action.dest])]
        if not options:
            continue
        section = options[0].dest.rpartition(".")[0]
        # A dict of dataclasses is titled by the text of the field that holds it.
        title = texts.get(section.removesuffix(f".{NAME_PLACEHOLDER}")) if NAME_PLACEHOLDER in section else group.title
        title = str(title).rstrip(".")
        section_group = parser.add_argument_group(
            _fill(f"{section}: {title[:1].lower()}{title[1:]}", width - 1) if section else "general"
        )
        for option in options:
            kind = kinds[option.dest]
            name = f"--{shown(option.dest)}" + (".KEY" if is_mapping(kind) else "")
            text = _escape(option.help or "")
            if command.shows_defaults and not option.required:
                text += f" (default: {_escape(_typed(option.default))})"
            section_group.add_argument(name, metavar=placeholder(kind), help=text)


def _read(config_class: Any) -> Any:
    """Return a jsonargparse parser that has read a config class: its actions hold help, default and required."""
    import jsonargparse

    read = jsonargparse.ArgumentParser(add_help=False)
    read.add_class_arguments(config_class)
    for key, kind in kinds_of(config_class).items():
        if is_mapping(kind) and not _is_leaf(kind):
            read.add_class_arguments(get_args(kind)[1], f"{key}.{NAME_PLACEHOLDER}")
    return read


def _is_leaf(kind: Any) -> bool:
    """Whether a type is one option: no section, and no dict of sections."""
    return not is_section(kind) and not (is_mapping(kind) and is_section(get_args(kind)[1]))


def _typed(default: Any) -> str:
    """Return a default as it would be typed behind its option; none for what is empty."""
    if default is None or default == []:
        return "none"
    if isinstance(default, list):
        return ",".join(_typed(each) for each in default)
    return default if isinstance(default, str) and default else yaml_file.dump_line(default)


def _fill(text: str, width: int) -> str:
    """Return a text in lines of at most this width, broken between words alone."""
    return textwrap.fill(" ".join(text.split()), width, break_on_hyphens=False)


def _escape(text: str) -> str:
    """Return a text in which argparse finds nothing to fill in."""
    return text.replace("%", "%%")
