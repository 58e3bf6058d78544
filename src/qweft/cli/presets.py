"""`qweft presets`."""

from collections.abc import Sequence

from qweft.cli.arguments import split
from qweft.cli.command import Command
from qweft.cli.help_text import help_text
from qweft.cli.terminal import show
from qweft.errors import QweftError

COMMAND = Command(
    name="presets",
    description="List the adapter presets, each with what it stands for. Use one with --adapter.preset NAME.",
    example="qweft presets",
)


def run(argv: Sequence[str]) -> None:
    """Print one line a preset."""
    arguments = split(argv)
    if arguments.wants_help:
        print(help_text(COMMAND), end="")
        return
    if argv:
        raise QweftError("qweft presets takes no arguments")
    from rich.table import Table

    from qweft.adapter.presets import presets

    table = Table.grid(padding=(0, 2))
    for name, description in presets().items():
        table.add_row(name, description)
    show(table)
