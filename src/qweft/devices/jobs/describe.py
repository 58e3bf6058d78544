"""Tables of the ledger's jobs for the terminal."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from qweft.devices.jobs.store import OPEN, Job
from qweft.text import many

if TYPE_CHECKING:
    from rich.table import Table


def describe(jobs: Sequence[Job]) -> "Table | str":
    """Return a table with one row per job and totals below. Tokens are never cut, because commands take them."""
    if not jobs:
        return "no job was sent"
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    accepted, paid = [job for job in jobs if job.job], Counter[str]()
    for job in accepted:
        paid[job.currency] += job.cost or 0.0  # type: ignore[assignment] # a counter of money
    table = Table(box=SIMPLE_HEAD, show_footer=True, show_edge=False, padding=0)
    table.add_column("token", f"{sum(job.state in OPEN for job in jobs)} open", no_wrap=True)
    table.add_column("device", overflow="fold")
    table.add_column("circuits", str(sum(job.circuits for job in accepted)), justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("provider's id", overflow="fold")
    totals = "\n".join(f"{money:,.2f} {currency}" for currency, money in paid.items() if money)
    table.add_column("cost", totals, justify="right", no_wrap=True)
    for job in jobs:
        cells = [job.token, job.name, str(job.circuits), job.state, job.job or "", cost_of(job)]
        table.add_row(*(Text(cell) for cell in cells))  # in a str, a provider's brackets would be markup
    return table


def describe_one(job: Job) -> "Table":
    """Return a table of everything that the ledger holds about a job."""
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
        ("written down", f"{datetime.fromtimestamp(job.created):%Y-%m-%d %H:%M}"),
        ("changed", f"{datetime.fromtimestamp(job.changed):%Y-%m-%d %H:%M}"),
    ):
        table.add_row(name, Text(value))
    return table


def cost_of(job: Job) -> str:
    """Return a job's estimated cost as text."""
    if job.cost is None:
        return "not known"
    return f"{job.cost:,.2f} {job.currency}" if job.cost else "nothing"
