"""SQL queries of the ledger."""

import re
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import get_type_hints

from qweft.devices.bound import BoundCircuits, unpack_circuits
from qweft.devices.device import DeviceError
from qweft.devices.jobs.record import Counts, Job, Loss, Where, pack_counts
from qweft.text import shown

AT_A_TIME = 500
"""Keys per query."""

COLUMNS = "token, name, device, calibration, shots, circuits, state, job, reason, cost, currency, created, changed"

JOB_TYPES = get_type_hints(Job)
LAST_TIME = 250_000_000_000
"""A time in seconds since 1970 that no date can show."""


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
    return checked_job(row) if row else None


def checked_job(row: Sequence[object]) -> Job:
    """Return a row of the ledger as a job; SQLite keeps values of any type in any column.

    Raises:
        sqlite3.DatabaseError: A value has another type, a time is none, or the token is none: it names a file.
    """
    job = Job(*row)  # type: ignore[arg-type]
    for name, kind in JOB_TYPES.items():
        if not isinstance(value := getattr(job, name), kind):
            raise sqlite3.DatabaseError(f"{name} of a job is {shown(value)}")
    if not re.fullmatch(r"[\w-]{1,100}", job.token):
        raise sqlite3.DatabaseError(f"token of a job is {shown(job.token)}")
    for name in ("created", "changed"):
        if not 0 <= getattr(job, name) < LAST_TIME:
            raise sqlite3.DatabaseError(f"{name} of job {job.token} is {getattr(job, name):g}")
    return job


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
