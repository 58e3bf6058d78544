"""SQL queries of the ledger."""

import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence

from qweft.devices.bound import BoundCircuits, unpack_circuits
from qweft.devices.device import DeviceError
from qweft.devices.jobs.record import Counts, Job, Loss, Where, pack_counts

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
    """Return a job's circuits."""
    try:
        return unpack_circuits(db.execute("SELECT content FROM jobs WHERE token = ?", (token,)).fetchone()[0])
    except (zlib.error, ValueError, TypeError) as error:
        raise DeviceError(
            f"the ledger's circuits of job {token} are damaged, so that nobody knows what its results belong to; qweft "
            f"jobs forget {token} gives it up: its circuits are then paid again"
        ) from error
