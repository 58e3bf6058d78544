"""`qweft completion`."""

import argparse
import importlib
from dataclasses import is_dataclass
from typing import Any

from qweft.cli.command import Command
from qweft.cli.main import COMMANDS
from qweft.cli.parser import Call
from qweft.schema import NAME, choices, is_mapping, placeholder, shown

SHELLS = ("bash", "zsh", "fish")
MACHINES = ("auto", "cpu", "cuda", "mps", "meta")
DEVICES = ("exact", "shots", "noisy")
"""Devices for circuits. Other packages' devices (`FAMILY:NAME`) are omitted: bash splits words at a colon."""
SUGGESTED = {"model.device": MACHINES, "device": DEVICES, "training.device": DEVICES}
"""Words for options whose type allows any text."""
BASH = """
_qweft() { # behind a point goes a key without a space
    _shtab_qweft
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *. ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _qweft qweft
"""

ZSH = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }"
"""Loads zsh's completion if the start-up file has not."""

COMMAND = Command(
    name="completion",
    description="Print the script by which a shell completes commands, options, their choices, and files. In "
    'bash and zsh put eval "$(qweft completion SHELL)" into ~/.bashrc or ~/.zshrc; in fish put qweft completion fish '
    "| source into ~/.config/fish/config.fish. The script holds all words, so that a key press starts no program.",
    example='eval "$(qweft completion bash)"',
    target="SHELL",
    target_help=f"One of {', '.join(SHELLS)}.",
    verbs=SHELLS,
)


def run(call: Call) -> None:
    """Print the script, which shtab generates."""
    import shtab

    shell = call.targets[0]
    script = shtab.complete(all_words(shell), shell, preamble=ZSH if shell == "zsh" else "")
    print(script + (BASH if shell == "bash" else ""))


def all_words(shell: str) -> argparse.ArgumentParser:
    """Return a parser of everything that can follow `qweft`, from the same dataclasses as the help."""
    import shtab

    parser = argparse.ArgumentParser("qweft", add_help=False)
    for name in ("--help", "--version"):
        parser.add_argument(name, action="store_true")
    commands = parser.add_subparsers()
    for name, about in COMMANDS.items():
        command: Command = importlib.import_module(f"qweft.cli.{name}").COMMAND
        own = commands.add_parser(name, help=about, add_help=False)
        if command.verbs:
            own.add_argument("verb", choices=command.verbs)
        if command.target and (not command.verbs or name == "data"):  # other verbs are followed by no files
            own.add_argument("target", nargs="*").complete = shtab.FILE  # type: ignore[attr-defined]
        for flag, text in {"help": "show this help and exit", **command.flags, **command.values}.items():
            own.add_argument(f"--{flag}", action="store_true", help=text)
        _add_options(own, command, shell)
    commands.add_parser("help", help="show what a command takes", add_help=False).add_argument("c", choices=[*COMMANDS])
    return parser


def _add_options(parser: argparse.ArgumentParser, command: Command, shell: str) -> None:
    """Add the options with values. Below a key that the user chooses, nothing can be completed."""
    import shtab

    seen = set()
    for full, kind, _, text in command.settings():
        name = full.partition(f".{NAME}")[0]
        if name in seen or is_dataclass(kind):
            continue
        seen.add(name)
        point = "" if not is_mapping(kind) else ".-" if shell == "zsh" else "."  # zsh: "-" continues the same word
        words = choices(kind) or SUGGESTED.get(name, ())
        action: Any = parser.add_argument(f"--{shown(name)}{point}", help=text, choices=words or None)
        if "TEXT" in placeholder(kind) and not words:
            action.complete = shtab.FILE  # text may be a file name
