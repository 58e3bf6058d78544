"""The file that holds results and ledger: one SQLite database that several processes share."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qweft.devices.errors import DeviceError

APPLICATION = 0x71776A6F
"""In the header of the file, so that another program's database is told apart: "qwjo"."""

VERSION = 1

SYNCHRONOUS = "EXTRA"
"""What is over is on the disk, the end of its journal too."""

SECONDS_FOR_OTHERS = 60
"""How long one process waits for the other's transaction."""

SCHEMA = (
    """CREATE TABLE results (
        key TEXT NOT NULL, device TEXT NOT NULL, shots INTEGER NOT NULL, calibration TEXT NOT NULL,
        fetched_under TEXT NOT NULL, qubits INTEGER NOT NULL, counts BLOB NOT NULL, token TEXT, stored REAL NOT NULL,
        PRIMARY KEY (key, device, shots, calibration)) WITHOUT ROWID""",
    """CREATE TABLE jobs (
        token TEXT PRIMARY KEY, name TEXT NOT NULL, device TEXT NOT NULL, calibration TEXT NOT NULL,
        shots INTEGER NOT NULL, circuits INTEGER NOT NULL, state TEXT NOT NULL, job TEXT, reason TEXT NOT NULL,
        cost REAL, currency TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL, content BLOB NOT NULL)""",
    """CREATE TABLE claims (
        key TEXT NOT NULL, device TEXT NOT NULL, shots INTEGER NOT NULL, token TEXT NOT NULL REFERENCES jobs,
        PRIMARY KEY (key, device, shots)) WITHOUT ROWID""",
    "CREATE INDEX claims_of_a_job ON claims (token)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
"""`claims` holds the circuits of open jobs: its primary key is what keeps a circuit from being in two of them."""


class Database:
    """Transactions on the file, which is made at the first one.

    A transaction that is over is on the disk, before anything that follows from it is sent.
    The rollback journal is used rather than a write-ahead log, which asks for shared memory that network file systems
    lack. A connection lives as long as its transaction: processes and threads share nothing but the file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block, or nothing of it.

        Raises:
            DeviceError: If the file cannot be made, read or written, is damaged, or is of another version.
        """
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
        if application == APPLICATION:
            raise DeviceError(
                f"{self.path} has version {version}, and this Qweft reads {VERSION}; use the Qweft that wrote it, or "
                "choose another cache (QWEFT_CACHE)"
            )
        if application or version or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise DeviceError(f"{self.path} was not written by Qweft; choose another cache (QWEFT_CACHE)")
        for statement in SCHEMA:
            connection.execute(statement)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise DeviceError(
                f"{self.path} cannot be used ({error}); nothing can be sent without it: make room, or choose another "
                "cache (QWEFT_CACHE)"
            ) from error
        except sqlite3.DatabaseError as error:
            raise DeviceError(
                f"{self.path} is damaged ({error}); it was left as it is: put a copy in its place, or move it away, "
                "and what it held is measured and paid anew"
            ) from error
        except OSError as error:
            raise DeviceError(
                f"{error.filename or self.path} cannot be written ({error.strerror}); nothing can be sent without it: "
                "choose another cache (QWEFT_CACHE)"
            ) from error
