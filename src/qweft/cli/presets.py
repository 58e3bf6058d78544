"""`qweft presets`."""

from collections.abc import Sequence

from qweft.cli.command import Command, NoOptions
from qweft.cli.parser import apply_options, read_arguments
from qweft.cli.terminal import show

COMMAND = Command(
    name="presets",
    description="List the adapter presets, each with what it stands for. Use one with --adapter.preset NAME.",
    example="qweft presets",
)


def run(argv: Sequence[str]) -> None:
    """Prints one line per preset."""
    apply_options(NoOptions, {}, read_arguments(argv, COMMAND), COMMAND)
    from rich.table import Table

    from qweft.method.presets import presets

    table = Table.grid(padding=(0, 2))
    for name, description in presets().items():
        table.add_row(name, description)
    show(table)
