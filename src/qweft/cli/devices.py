"""`qweft devices`."""

from typing import Any

from qweft.cli.command import JSON, Command
from qweft.cli.parser import Call

COMMAND = Command(
    name="devices",
    description="List where circuits can run: the devices of this package and the families of other packages, what is "
    "installed of them and how the rest is installed, and what they cost.",
    example="qweft devices --json",
    flags=JSON,
)


def run(call: Call) -> None:
    """Print the devices."""
    from qweft.devices.registry import catalogue

    rows = catalogue()
    call.answer(lambda: rows, lambda: _table(rows))


def _table(rows: list[dict[str, Any]]) -> Any:
    """Return a table for a terminal, followed by the install commands of missing packages."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("device", overflow="fold")  # not narrowed, because users type the names
    table.add_column("what it is", ratio=3, overflow="fold")
    table.add_column("installed")
    table.add_column("costs", ratio=2, overflow="fold")
    for row in rows:
        table.add_row(row["name"], row["what"], "no" if row["missing"] else "yes", row["price"])
    commands = dict.fromkeys(f"{row['extra']}: {row['install']}" for row in rows if row["missing"])
    return Group(table, *([Text("")] if commands else []), *map(Text, commands))
