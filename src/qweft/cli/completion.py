"""`qweft completion`."""

import importlib
from collections.abc import Sequence

from qweft.cli.command import Command, NoOptions
from qweft.cli.parser import apply_options, read_arguments
from qweft.errors import QweftError

SHELLS = ("bash", "zsh", "fish")

COMMAND = Command(
    name="completion",
    description="Print the script by which a shell completes commands, options, their choices, and files. In "
    'bash and zsh put eval "$(qweft completion SHELL)" into ~/.bashrc or ~/.zshrc; in fish put qweft completion fish '
    "| source into ~/.config/fish/config.fish. The script holds all words, so that a key press starts no program.",
    example='eval "$(qweft completion bash)"',
    target="SHELL",
    target_help=f"One of {', '.join(SHELLS)}.",
    target_required=True,
    verbs=SHELLS,
)


def run(argv: Sequence[str]) -> None:
    """Print the script."""
    arguments = read_arguments(None, argv, COMMAND)
    apply_options(NoOptions, {}, arguments, COMMAND)
    if arguments.target not in SHELLS:
        raise QweftError(f"qweft completion: there is no script for {arguments.target}; there are {', '.join(SHELLS)}")
    from qweft.cli.completions.words import all_words

    print(importlib.import_module(f"qweft.cli.completions.{arguments.target}").script(all_words()), end="")
