"""Ledger queries, and tables of jobs for the terminal."""

import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from qweft.devices.bound import BoundCircuits, unpack_circuits
from qweft.devices.device import DeviceError
from qweft.devices.jobs.record import OPEN, Counts, Job, Loss, Where, pack_counts
from qweft.text import many

AT_A_TIME = 500
"""Keys per query."""

COLUMNS = "token, name, device, calibration, shots, circuits, state, job, reason, cost, currency, created, changed"


def marks(number: int) -> str:
    """Return this many SQL placeholders."""
    return ", ".join("?" * number)


def select(db: sqlite3.Connection, keys: Sequence[str], where: Where) -> Iterator[tuple[str, int, bytes]]:
    """Yield key, qubits and packed counts of accepted results, newest last."""
    for first in range(0, len(keys), AT_A_TIME):
        some = keys[first : first + AT_A_TIME]
        for key, qubits, counts, calibration, fetched_under, token in db.execute(
            "SELECT key, qubits, counts, calibration, fetched_under, token FROM results "
            f"WHERE key IN ({marks(len(some))}) AND device = ? AND shots = ? ORDER BY stored",
            (*some, where.device, where.shots),
        ):
            if where.accepts(calibration, fetched_under, token):
                yield key, qubits, counts


def unclaimed(db: sqlite3.Connection, keys: Sequence[str], where: Where) -> list[int]:
    """Return the indices of circuits without a result that are in no open job."""
    known = {key for key, _, _ in select(db, keys, where)} | set(claims_of(db, keys, where))
    return [row for row, key in enumerate(keys) if key not in known]


def losses(db: sqlite3.Connection, keys: Sequence[str], where: Where, seen: int) -> list[Loss]:
    """Return losses of these circuits with numbers above `seen`, oldest first."""
    rows = db.execute(
        "SELECT number, key, token FROM losses WHERE number > ? AND device = ? AND shots = ? ORDER BY number",
        (seen, where.device, where.shots),
    )
    wanted = set(keys)
    return [Loss(*row) for row in rows if row[1] in wanted]


def claims_of(db: sqlite3.Connection, keys: Sequence[str], where: Where) -> dict[str, str]:
    """Return the token of the open job that contains each circuit, by key."""
    found: dict[str, str] = {}
    for first in range(0, len(keys), AT_A_TIME):
        some = keys[first : first + AT_A_TIME]
        found |= dict(
            db.execute(
                f"SELECT key, token FROM claims WHERE key IN ({marks(len(some))}) AND device = ? AND shots = ?",
                (*some, where.device, where.shots),
            ).fetchall()
        )
    return found


def insert(
    db: sqlite3.Connection,
    found: dict[str, Counts],
    device: str,
    shots: int,
    calibration: str,
    fetched_under: str,
    qubits: int,
    token: str | None,
) -> None:
    """Insert results. Existing ones are not overwritten."""
    db.executemany(
        f"INSERT OR IGNORE INTO results VALUES ({marks(9)})",
        [
            (key, device, shots, calibration, fetched_under, qubits, pack_counts(counts), token, time.time())
            for key, counts in found.items()
        ],
    )


def job_of(db: sqlite3.Connection, token: str) -> Job | None:
    """Return one row of the ledger, or `None`."""
    row = db.execute(f"SELECT {COLUMNS} FROM jobs WHERE token = ?", (token,)).fetchone()
    return Job(*row) if row else None


def circuits_in(db: sqlite3.Connection, token: str) -> BoundCircuits:
    """Return a job's circuits.

    Raises:
        DeviceError: The stored circuits are damaged.
    """
    try:
        return unpack_circuits(db.execute("SELECT content FROM jobs WHERE token = ?", (token,)).fetchone()[0])
    except (zlib.error, ValueError, TypeError) as error:
        raise DeviceError(
            f"the ledger's circuits of job {token} are damaged, so that nobody knows what its results belong to; qweft "
            f"jobs forget {token} gives it up: its circuits are then paid again"
        ) from error


if TYPE_CHECKING:
    from rich.table import Table


NARROW = 100
"""Terminal width in columns below which the table omits shots and time."""
WHOLE = 130
"""Terminal width from which the table shows the provider's id in full; `describe_one` always does."""


def describe(jobs: Sequence[Job], width: int = WHOLE) -> "Table | str":
    """Return a table with one row per job and totals below.

    Args:
        jobs: Rows of the ledger.
        width: Terminal width in columns. Tokens are never shortened, because commands take them.
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
        ("written down", _when(job.created)),
        ("changed", _when(job.changed)),
    ):
        table.add_row(name, Text(value))
    return table


def cost_of(job: Job) -> str:
    """Return a job's estimated cost as text."""
    if job.cost is None:
        return "not known"
    return f"{job.cost:,.2f} {job.currency}" if job.cost else "nothing"


def _costs(jobs: Sequence[Job]) -> list[str]:
    """Return the total cost of accepted jobs, per currency."""
    sums: dict[str, float] = {}
    for job in jobs:
        if job.job and job.cost:
            sums[job.currency] = sums.get(job.currency, 0.0) + job.cost
    return [f"{money:,.2f} {currency}" for currency, money in sums.items()]


def _shortened(number: str) -> str:
    """Return a long id's beginning and end."""
    return number if len(number) <= 10 else f"{number[:4]}…{number[-5:]}"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
