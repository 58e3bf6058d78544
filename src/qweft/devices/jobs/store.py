"""Results by circuit, and the ledger of all that was sent."""

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from qweft.cache import cache_folder
from qweft.devices.bound import BoundCircuits
from qweft.devices.errors import DeviceError
from qweft.devices.jobs.database import Database
from qweft.devices.jobs.prices import Charge
from qweft.devices.jobs.record import (
    DONE,
    OPEN,
    SENDING,
    SENT,
    Counts,
    Job,
    pack_circuits,
    pack_counts,
    unpack_circuits,
    unpack_counts,
)
from qweft.locks import locked

AT_A_TIME = 500
"""Keys of one query."""

COLUMNS = "token, name, device, calibration, shots, circuits, state, job, reason, cost, currency, created, changed"


@dataclass(frozen=True)
class Where:
    """What a circuit is measured on: with the circuit's key, the key of a result.

    Args:
        device: `identity()` of the device.
        shots: Measurements of each circuit.
        calibration: Of the device; none where results of any calibration will do.
    """

    device: str
    shots: int
    calibration: str | None


class Store:
    """Results and ledger in one file, `devices/jobs.sqlite` of the cache. It holds no credentials.

    Args:
        folder: Another folder for it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "devices"
        self._database = Database(self.folder / "jobs.sqlite")

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    # Results

    def results(self, keys: Sequence[str], where: Where) -> dict[str, Counts]:
        """The counts of those circuits that have some.

        A result whose device was calibrated between sending and fetching counts for both calibrations: which of them it
        was measured under is not known.

        Raises:
            DeviceError: If the file cannot be used, or a result is damaged.
        """
        found: dict[str, Counts] = {}
        with self._database.transaction() as db:
            for key, qubits, packed in _select(db, "key, qubits, counts", keys, where):
                try:
                    counts = unpack_counts(packed, qubits)
                except (zlib.error, ValueError):
                    counts = {}
                if sum(counts.values()) != where.shots:
                    raise DeviceError(f"{self.path}: the result of circuit {key} is damaged; it was left as it is")
                found[key] = counts
        return found

    def other_calibrations(self, keys: Sequence[str], where: Where) -> int:
        """How many of the circuits have a result, but under other calibrations only."""
        with self._database.transaction() as db:
            anywhere = {key for (key,) in _select(db, "key", keys, Where(where.device, where.shots, None))}
            here = {key for (key,) in _select(db, "key", keys, where)}
        return len(anywhere - here)

    def keep(self, found: dict[str, Counts], where: Where, qubits: int) -> None:
        """Store what a device measured that answers at once."""
        with self._database.transaction() as db:
            _insert(
                db, found, where.device, where.shots, where.calibration or "", where.calibration or "", qubits, None
            )

    # The ledger

    def claim(
        self,
        token: str,
        name: str,
        circuits: BoundCircuits,
        keys: Sequence[str],
        where: Where,
        now: str,
        most: int | None,
        approve: Callable[[int], Charge],
    ) -> Job | None:
        """Write down that some circuits are about to be sent, on the disk before this returns.

        Taken are those that have no result and are in no open job, which is looked up in the same transaction.

        Args:
            token: Of the new job.
            name: Of the device.
            circuits: Different ones.
            keys: Theirs.
            where: On what, and which results will do.
            now: The device's calibration.
            most: Circuits of one job.
            approve: Gives what so many circuits cost, or raises; then nothing was written.

        Returns:
            The job; none where nothing is left to be sent.
        """
        with self._database.transaction() as db:
            known = {key for (key,) in _select(db, "key", keys, where)} | set(_claims(db, keys, where))
            free = [row for row, key in enumerate(keys) if key not in known][:most]
            if not free:
                return None
            cost, taken = approve(len(free)), circuits.pick(free)
            job = Job(
                token, name, where.device, now, where.shots, len(free), SENDING, None, "", cost.money, cost.currency,
                time.time(), time.time(),
            )  # fmt: skip
            db.execute(
                f"INSERT INTO jobs ({COLUMNS}, content) VALUES ({_marks(14)})",
                (*vars(job).values(), pack_circuits(taken)),
            )
            db.executemany(
                "INSERT INTO claims VALUES (?, ?, ?, ?)",
                [(keys[row], where.device, where.shots, token) for row in free],
            )
        return job

    def note(self, token: str, reason: str) -> None:
        """Write the provider's words beside a job."""
        with self._database.transaction() as db:
            db.execute("UPDATE jobs SET reason = ?, changed = ? WHERE token = ?", (reason, time.time(), token))

    def sent(self, token: str, job: str) -> bool:
        """Record the provider's id of a job; whether it was still about to be sent."""
        with self._database.transaction() as db:
            changed = db.execute(
                "UPDATE jobs SET state = ?, job = ?, reason = '', changed = ? WHERE token = ? AND state = ?",
                (SENT, job, time.time(), token, SENDING),
            )
            return bool(changed.rowcount == 1)

    def close(
        self, token: str, state: str, reason: str = "", found: dict[int, Counts] | None = None, now: str = ""
    ) -> bool:
        """Store what came of an open job and end it, in one transaction; its other circuits may be sent again.

        Args:
            token: Of the job.
            state: Its last.
            reason: Why.
            found: Counts by place in the job.
            now: The device's calibration.

        Returns:
            Whether it was open.
        """
        with self._database.transaction() as db:
            job = _job(db, token)
            if job is None or job.state not in OPEN:
                return False
            circuits = _content(db, token)
            keys = circuits.keys()
            results = {keys[place]: counts for place, counts in (found or {}).items()}
            _insert(db, results, job.device, job.shots, job.calibration, now or job.calibration, circuits.qubits, token)
            db.execute("DELETE FROM claims WHERE token = ?", (token,))
            db.execute(
                "UPDATE jobs SET state = ?, reason = ?, changed = ? WHERE token = ?",
                (state, reason, time.time(), token),
            )
            if state == DONE:  # nobody asks for its circuits again
                db.execute("UPDATE jobs SET content = x'' WHERE token = ?", (token,))
        return True

    def jobs(self) -> list[Job]:
        """The whole ledger, oldest first."""
        with self._database.transaction() as db:
            return [Job(*row) for row in db.execute(f"SELECT {COLUMNS} FROM jobs ORDER BY created, token")]

    def job(self, token: str) -> Job:
        """One line of the ledger.

        Raises:
            DeviceError: If there is no such job.
        """
        with self._database.transaction() as db:
            job = _job(db, token)
        if job is None:
            raise DeviceError(f"there is no job {token} in {self.path}; qweft jobs list shows all")
        return job

    def circuits_of(self, token: str) -> BoundCircuits | None:
        """The circuits of an open job; none where another process has ended it meanwhile."""
        with self._database.transaction() as db:
            job = _job(db, token)
            return _content(db, token) if job and job.state in OPEN else None

    def open_jobs(self, device: str, keys: Sequence[str] | None = None, shots: int = 0) -> list[Job]:
        """Open jobs of a device, oldest first: all, or those with some of these circuits."""
        with self._database.transaction() as db:
            rows = db.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE device = ? AND state IN (?, ?) ORDER BY created, token",
                (device, *OPEN),
            )
            jobs = [Job(*row) for row in rows]
            if keys is not None:
                tokens = set(_claims(db, keys, Where(device, shots, None)).values())
                jobs = [job for job in jobs if job.token in tokens]
        return jobs

    @contextmanager
    def sole(self, token: str) -> Iterator[bool]:
        """Whether this process alone decides about a job that is being sent, until the block ends.

        A process holds this from before the job is written down until its fate is known. So a job that is about to be
        sent and is held by nobody was left behind by a process that is gone.

        Raises:
            DeviceError: If the file system has no locks, or cannot be written.
        """
        folder = self.folder / "sending"
        with ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                held = stack.enter_context(locked(folder / token))
            except OSError as error:
                raise DeviceError(
                    f"{folder} cannot be written ({error.strerror}); nothing can be sent without it: choose another "
                    "cache (QWEFT_CACHE)"
                ) from error
            if held is None:
                raise DeviceError(
                    f"{folder} is on a file system without locks, where two processes could send the same circuit; "
                    "choose another cache (QWEFT_CACHE)"
                )
            yield held
            if held:
                (folder / token).unlink(missing_ok=True)


def _marks(number: int) -> str:
    return ", ".join("?" * number)


def _select(db: sqlite3.Connection, columns: str, keys: Sequence[str], where: Where) -> Iterator[tuple]:
    """Rows of results, the newest last."""
    calibration, values = "", list[str | int]((where.device, where.shots))
    if where.calibration is not None:
        calibration = "AND (calibration = ? OR fetched_under = ?)"
        values += [where.calibration, where.calibration]
    for first in range(0, len(keys), AT_A_TIME):
        some = keys[first : first + AT_A_TIME]
        yield from db.execute(
            f"SELECT {columns} FROM results WHERE key IN ({_marks(len(some))}) AND device = ? AND shots = ? "
            f"{calibration} ORDER BY stored",
            (*some, *values),
        )


def _claims(db: sqlite3.Connection, keys: Sequence[str], where: Where) -> dict[str, str]:
    """The token of the open job that has a circuit, by key."""
    found: dict[str, str] = {}
    for first in range(0, len(keys), AT_A_TIME):
        some = keys[first : first + AT_A_TIME]
        found |= dict(
            db.execute(
                f"SELECT key, token FROM claims WHERE key IN ({_marks(len(some))}) AND device = ? AND shots = ?",
                (*some, where.device, where.shots),
            ).fetchall()
        )
    return found


def _insert(
    db: sqlite3.Connection,
    found: dict[str, Counts],
    device: str,
    shots: int,
    calibration: str,
    fetched_under: str,
    qubits: int,
    token: str | None,
) -> None:
    """Results that are not there yet."""
    db.executemany(
        f"INSERT OR IGNORE INTO results VALUES ({_marks(9)})",
        [
            (key, device, shots, calibration, fetched_under, qubits, pack_counts(counts), token, time.time())
            for key, counts in found.items()
        ],
    )


def _job(db: sqlite3.Connection, token: str) -> Job | None:
    row = db.execute(f"SELECT {COLUMNS} FROM jobs WHERE token = ?", (token,)).fetchone()
    return Job(*row) if row else None


def _content(db: sqlite3.Connection, token: str) -> BoundCircuits:
    return unpack_circuits(db.execute("SELECT content FROM jobs WHERE token = ?", (token,)).fetchone()[0])
