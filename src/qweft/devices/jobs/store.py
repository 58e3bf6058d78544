"""Results by circuit, and the ledger of jobs, in one SQLite file."""

import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from qweft.core.files import cache_folder, locked
from qweft.core.redaction import without_secrets
from qweft.core.text import many
from qweft.devices.bound import BoundCircuits, pack_circuits, unpack_circuits
from qweft.devices.device import DeviceError

SENDING = "sending"  # recorded; whether the provider accepted it is not known yet
SENT = "sent"  # accepted by the provider, whose id for it is known
DONE = "done"  # finished with all of its results stored
UNSENT = "unsent"  # certainly not accepted by the provider
REFUSED = "refused"  # rejected by the provider
FAILED = "failed"  # accepted by the provider, but without all results
CANCELLED = "cancelled"  # stopped at the provider
FORGOTTEN = "forgotten"  # given up by the user
OPEN = (SENDING, SENT)
"""States of a job whose circuits must not be sent again."""
PAID = (DONE, FAILED, CANCELLED, FORGOTTEN)
"""Final states of a job that was, or may have been, paid for."""

Counts = dict[str, int]
"""Number of times each outcome occurred, by bit string with qubit 0 first."""


@dataclass(frozen=True)
class Job:
    """One row of the ledger.

    Args:
        token: Our id of the job.
        name: Name of the device, as the user gave it.
        device: The device's `identity()`.
        calibration: Calibration of the chip when the job was sent.
        shots: Shots of each circuit.
        circuits: Number of circuits.
        state: One of the states above.
        job: The provider's id of the job.
        reason: Why it is in its state, such as the provider's message.
        cost: What an earlier version, which had price lists, estimated; `None` in new rows.
        currency: Currency of that.
        created: Seconds since 1970.
        changed: Seconds since 1970.
    """

    token: str
    name: str
    device: str
    calibration: str
    shots: int
    circuits: int = 0
    state: str = SENDING
    job: str | None = None
    reason: str = ""
    cost: float | None = None
    currency: str = ""
    created: float = field(default_factory=lambda: time.time())
    changed: float = field(default_factory=lambda: time.time())

    @property
    def size(self) -> str:
        """Number of circuits, as text."""
        return many(self.circuits, "circuit")


@dataclass
class Where:
    """Conditions of a measurement. Together with a circuit's key they identify a result.

    Args:
        device: The device's `identity()`.
        shots: Shots of each circuit.
        calibration: Calibration of the chip, at sending or at fetching. `None` accepts any.
        jobs: Tokens of jobs for which a run waited; their results are accepted under any calibration.
    """

    device: str
    shots: int
    calibration: str | None
    jobs: set[str] = field(default_factory=set)


APPLICATION = 0x71776A6F
"""SQLite application id ("qwjo"), which distinguishes the file from other programs' databases."""
VERSION = 3
"""Version of the schema."""
SYNCHRONOUS = "EXTRA"
"""A finished transaction is on the disk, including the removal of its journal."""
SECONDS_FOR_OTHERS = 60
"""How long a process waits for another's transaction."""
COLUMNS = ", ".join(column.name for column in fields(Job))
SHOTS = "shots INTEGER NOT NULL CHECK (typeof(shots) = 'integer')"
"""SQLite would store NumPy integers as bytes, and queries would never find such rows."""
SCHEMA = (
    f"""CREATE TABLE results (
        key TEXT NOT NULL, device TEXT NOT NULL, {SHOTS}, calibration TEXT NOT NULL,
        fetched_under TEXT NOT NULL, counts BLOB NOT NULL, token TEXT, stored REAL NOT NULL,
        PRIMARY KEY (key, device, shots, calibration)) WITHOUT ROWID""",
    f"""CREATE TABLE jobs (
        token TEXT PRIMARY KEY, name TEXT NOT NULL, device TEXT NOT NULL, calibration TEXT NOT NULL,
        {SHOTS}, circuits INTEGER NOT NULL, state TEXT NOT NULL, job TEXT, reason TEXT NOT NULL,
        cost REAL, currency TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL, content BLOB NOT NULL)""",
    f"""CREATE TABLE claims (
        key TEXT NOT NULL, device TEXT NOT NULL, {SHOTS}, token TEXT NOT NULL REFERENCES jobs,
        PRIMARY KEY (key, device, shots)) WITHOUT ROWID""",
    "CREATE INDEX claims_of_a_job ON claims (token)",
    f"""CREATE TABLE losses (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL, device TEXT NOT NULL, {SHOTS},
        token TEXT NOT NULL REFERENCES jobs)""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
"""`claims` has the circuits of open jobs, each in one of them alone. `losses` has the circuits without a result from an
ended job, in order of time: from its numbers a run knows which came after its start, whoever ended the job."""
OF_CIRCUITS = "key IN (SELECT value FROM json_each(?1)) AND device = ?2 AND shots = ?3"
"""Condition on the rows of some circuits under some conditions."""
ACCEPTED = "(?4 IS NULL OR ?4 IN (calibration, fetched_under) OR token IN (SELECT value FROM json_each(?5)))"
"""Condition on the calibration of results, or on the job that they are from."""


class Store:
    """Results and ledger in one file, `devices/jobs.sqlite` of the cache, without credentials."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "devices"
        self.path = self.folder / "jobs.sqlite"
        self._open: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction, which is on the disk when it ends; one inside another is a part of it."""
        if self._open is not None:
            yield self._open
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, SECONDS_FOR_OTHERS, isolation_level=None)) as db:
                db.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
                db.execute("BEGIN IMMEDIATE")
                self._prepare(db)
                self._open = db
                yield db
                db.execute("COMMIT")  # a connection that is closed without it rolls back
        except (sqlite3.DatabaseError, zlib.error, OSError) as error:
            raise DeviceError(
                f"{self.path} cannot be used ({error}), and nothing is sent without it; make room, end the program "
                "that uses it, put a copy in its place, or choose another cache (QWEFT_CACHE)"
            ) from error
        finally:
            self._open = None

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Create the tables in a new file; raise for one of another program or version."""
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in SCHEMA:
                db.execute(statement)
        marks = db.execute("SELECT * FROM pragma_application_id, pragma_user_version").fetchone()
        if marks != (APPLICATION, VERSION):
            raise DeviceError(
                f"{self.path} is not a ledger of this version of Qweft; choose another cache (QWEFT_CACHE)"
            )

    def _rows(self, query: str, keys: Sequence[str], where: Where, *more: Any) -> list[Any]:
        """Return the rows of a query for these keys, the device, the shots, and more."""
        with self.transaction() as db:
            return db.execute(query, (json.dumps(list(keys)), where.device, where.shots, *more)).fetchall()

    # Results

    def results(self, keys: Sequence[str], where: Where) -> dict[str, Counts]:
        """Return the counts of circuits that have a result of the calibration at sending or at fetching, by key."""
        query = f"SELECT key, counts FROM results WHERE {OF_CIRCUITS} AND {ACCEPTED} ORDER BY stored"  # newest last
        with self.transaction():
            rows = self._rows(query, keys, where, where.calibration, json.dumps(list(where.jobs)))
            return {key: json.loads(zlib.decompress(packed)) for key, packed in rows}

    def keep(self, results: dict[str, Counts], where: Where, token: str | None = None, now: str | None = None) -> None:
        """Store results, of a job that was fetched under the calibration `now`; existing ones stay."""
        calibration = where.calibration or ""
        conditions = where.device, where.shots, calibration, now or calibration
        rows = []
        for key, counts in results.items():
            packed = zlib.compress(json.dumps(counts).encode())
            rows.append((key, *conditions, packed, token, time.time()))
        with self.transaction() as db:
            db.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    # The ledger

    def claim(
        self,
        job: Job,
        circuits: BoundCircuits,
        where: Where,
        most: int | None,
        approve: Callable[[int], None],
        seen: int | None = None,
    ) -> Job | None:
        """Record a job that is about to be sent, of circuits without a result and in no open job, on the disk.

        It takes none if the caller has not seen all of their losses, because lost circuits are paid for again.

        Args:
            job: The job, without its number of circuits.
            circuits: The circuits that the caller wants.
            where: Conditions under which they are measured.
            most: Most circuits of a job.
            approve: Called with the number of circuits before anything is recorded; may raise.
            seen: Number of the latest loss that the caller has seen. `None` to send lost circuits too.

        Returns:
            The job with its number of circuits, or `None` if none is left to send.
        """
        keys = circuits.keys()
        with self.transaction() as db:
            known = self.results(keys, where).keys() | self.claimed(keys, where).keys()
            free = [row for row, key in enumerate(keys) if key not in known][:most]
            if not free or (seen is not None and self.losses(keys, where, seen)):
                return None
            approve(len(free))
            job = replace(job, circuits=len(free))
            values = asdict(job) | {"content": pack_circuits(circuits.pick(free))}
            names = ", ".join(values)
            marks = ", ".join("?" * len(values))
            db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", [*values.values()])
            claims = [(keys[row], where.device, where.shots, job.token) for row in free]
            db.executemany("INSERT INTO claims VALUES (?, ?, ?, ?)", claims)
        return job

    def claimed(self, keys: Sequence[str], where: Where) -> dict[str, str]:
        """Return the token of the open job that has a circuit, by the key of each that is in one."""
        return dict(self._rows(f"SELECT key, token FROM claims WHERE {OF_CIRCUITS}", keys, where))

    def losses(self, keys: Sequence[str], where: Where, seen: int) -> dict[str, str]:
        """Return the token of the job that lost a circuit, by key, of losses with numbers above `seen`."""
        query = f"SELECT key, token FROM losses WHERE {OF_CIRCUITS} AND number > ?4 ORDER BY number"
        return dict(self._rows(query, keys, where, seen))

    def last_loss(self) -> int:
        """Return the number of the latest loss, or 0."""
        with self.transaction() as db:
            return int(db.execute("SELECT coalesce(max(number), 0) FROM losses").fetchone()[0])

    def note(self, token: str, reason: str, **columns: Any) -> None:
        """Record a job's reason, such as the provider's message, and values of other columns."""
        columns |= {"reason": without_secrets(reason), "changed": time.time()}
        names = ", ".join(f"{name} = ?" for name in columns)
        with self.transaction() as db:
            db.execute(f"UPDATE jobs SET {names} WHERE token = ?", (*columns.values(), token))

    def sent(self, token: str, job: str) -> bool:
        """Record the provider's id of a job. Return whether the job was still in state `SENDING`."""
        with self.transaction():
            is_sending = self.job(token).state == SENDING
            if is_sending:
                self.note(token, "", state=SENT, job=job)
        return is_sending

    def close(
        self, token: str, state: str, reason: str = "", results: dict[int, Counts] | None = None, now: str = ""
    ) -> bool:
        """Store an open job's results and end it, in one transaction. Its other circuits may then be sent again."""
        with self.transaction() as db:
            job = self.job(token)
            circuits = self.circuits_of(token)
            if circuits is None:
                return False
            keys = circuits.keys()
            by_key = {keys[index]: counts for index, counts in (results or {}).items()}
            self.keep(by_key, Where(job.device, job.shots, job.calibration), token, now)
            if state in PAID:
                columns = "key, device, shots, token"
                lost = f"SELECT {columns} FROM claims WHERE token = ? AND key NOT IN (SELECT value FROM json_each(?))"
                db.execute(f"INSERT INTO losses ({columns}) {lost}", (token, json.dumps(list(by_key))))
            db.execute("DELETE FROM claims WHERE token = ?", (token,))
            self.note(token, reason, state=state, content=b"")
        return True

    def jobs(self) -> list[Job]:
        """Return the whole ledger, oldest first."""
        with self.transaction() as db:
            return [Job(*row) for row in db.execute(f"SELECT {COLUMNS} FROM jobs ORDER BY created, token")]

    def job(self, token: str) -> Job:
        """Return one row of the ledger."""
        for job in self.jobs():
            if job.token == token:
                return job
        raise DeviceError(f"there is no job {token} in {self.path}; qweft jobs list shows all")

    def circuits_of(self, token: str) -> BoundCircuits | None:
        """Return an open job's circuits, or `None` if another process has ended it meanwhile."""
        with self.transaction() as db:
            query = "SELECT content FROM jobs WHERE token = ? AND state IN (?, ?)"
            row = db.execute(query, (token, *OPEN)).fetchone()
            return unpack_circuits(row[0]) if row else None

    @contextmanager
    def sole(self, token: str) -> Iterator[bool]:
        """Whether this process alone decides about a job that is being sent, until the block ends.

        A job in state `SENDING` whose lock is free was left behind by a process that has ended.
        """
        lock = self.folder / "sending" / token
        lock.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock) as held:
            yield held
            if held:
                lock.unlink(missing_ok=True)
