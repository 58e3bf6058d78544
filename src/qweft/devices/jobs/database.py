"""The ledger's SQLite file: tables and transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qweft.devices.device import DeviceError

APPLICATION = 0x71776A6F
"""SQLite application id ("qwjo"), which distinguishes the file from other programs' databases."""

VERSION = 2
"""Version of the schema."""

SYNCHRONOUS = "EXTRA"
"""A finished transaction is on the disk, including the removal of its journal."""

SECONDS_FOR_OTHERS = 60
"""How long a process waits for another's transaction."""

SHOTS = "shots INTEGER NOT NULL CHECK (typeof(shots) = 'integer')"
"""SQLite would store NumPy integers as bytes, and queries would never find such rows."""

SCHEMA = (
    f"""CREATE TABLE results (
        key TEXT NOT NULL, device TEXT NOT NULL, {SHOTS}, calibration TEXT NOT NULL,
        fetched_under TEXT NOT NULL, qubits INTEGER NOT NULL, counts BLOB NOT NULL, token TEXT, stored REAL NOT NULL,
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
"""`claims` has the circuits of open jobs; its primary key keeps a circuit from being in two of them. `losses` has the
circuits without a result from an ended job, in order of time. From its numbers a run knows which losses came after its
start, whichever process ended the job."""


class Database:
    """Transactions on the file, which the first one creates.

    A finished transaction is on the disk before anything that depends on it is sent. SQLite uses the rollback journal,
    because a write-ahead log needs shared memory, which network file systems lack. Each transaction has its own
    connection, so processes and threads share only the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one atomic transaction."""
        with self._in_words():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, SECONDS_FOR_OTHERS, isolation_level=None)) as connection:
                connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    self._check_version(connection)
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")

    def _check_version(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if (application, version) == (APPLICATION, VERSION):
            return
        if application or version or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise DeviceError(
                f"{self.path} is no ledger of version {VERSION} of Qweft's; choose another cache (QWEFT_CACHE)"
            )
        for statement in SCHEMA:
            connection.execute(statement)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # a bug in Qweft, not damage
        except (sqlite3.DatabaseError, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise DeviceError(
                    f"{self.path} has been in use by another program for {SECONDS_FOR_OTHERS} s; end that one, or run "
                    "the same command later"
                ) from error
            raise DeviceError(
                f"{self.path} cannot be used ({error}), and nothing is sent without it: make room, put a copy in its "
                "place, or choose another cache (QWEFT_CACHE)"
            ) from error
