"""The ledger as a table."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from qweft.devices.jobs.record import OPEN, Job
from qweft.plural import many

if TYPE_CHECKING:
    from rich.table import Table


NARROW = 100
"""Columns of a terminal below which a line of the table tells less."""
WHOLE = 130
"""And from which on it has the provider's id whole; `describe_one` has it anyhow."""


def describe(jobs: Sequence[Job], width: int = WHOLE) -> "Table | str":
    """A line for each job, and their sums below.

    Args:
        jobs: Of the ledger.
        width: Columns of the terminal. The tokens stay whole: the commands take them.
    """
    if not jobs:
        return "no job was sent"
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_footer=True, show_edge=False, padding=0)
    table.add_column("token", f"{len([job for job in jobs if job.state in OPEN])} open", no_wrap=True)
    table.add_column("device", overflow="fold")
    table.add_column("circuits", str(sum(job.circuits for job in jobs if job.job)), justify="right", no_wrap=True)
    if width >= NARROW:
        table.add_column("shots", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("provider's id" if width >= WHOLE else "id", overflow="fold", no_wrap=width < WHOLE)
    table.add_column("cost", "\n".join(_costs(jobs)), justify="right", no_wrap=True)
    if width >= NARROW:
        table.add_column("written down", no_wrap=True)
    for job in jobs:
        number = job.job or ""
        cells = [
            job.token,
            job.name,
            str(job.circuits),
            *([str(job.shots)] if width >= NARROW else []),
            job.state,
            number if width >= WHOLE else _shortened(number),
            cost_of(job),
            *([_when(job.created)] if width >= NARROW else []),
        ]
        table.add_row(*(Text(cell) for cell in cells))  # what a provider says may hold brackets
    return table


def describe_one(job: Job) -> "Table":
    """All that the ledger holds of a job."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("token", job.token),
        ("device", job.name if job.device == job.name else f"{job.name} ({job.device})"),
        ("calibration", job.calibration or "none"),
        ("circuits", f"{job.circuits:,}, {many(job.shots, 'shot')} each"),
        ("state", f"{job.state}: {job.reason}" if job.reason else job.state),
        ("provider's id", job.job or "not known"),
        ("cost", cost_of(job)),
        ("written down", _when(job.created)),
        ("changed", _when(job.changed)),
    ):
        table.add_row(name, Text(value))
    return table


def cost_of(job: Job) -> str:
    """The estimated money of a job."""
    if job.cost is None:
        return "not known"
    return f"{job.cost:,.2f} {job.currency}" if job.cost else "nothing"


def _costs(jobs: Sequence[Job]) -> list[str]:
    """The sum of what the provider took, for each currency."""
    sums: dict[str, float] = {}
    for job in jobs:
        if job.job and job.cost:
            sums[job.currency] = sums.get(job.currency, 0.0) + job.cost
    return [f"{money:,.2f} {currency}" for currency, money in sums.items()]


def _shortened(number: str) -> str:
    """The beginning and the end, where it is long."""
    return number if len(number) <= 10 else f"{number[:4]}…{number[-5:]}"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
