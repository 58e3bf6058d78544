"""The ledger's SQLite file: tables, transactions, and migration from version 1."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from qweft.devices.device import DeviceError

TABLES = {
    "results": "key, device, whole(shots), calibration, fetched_under, qubits, counts, token, stored",
    "jobs": "token, name, device, calibration, whole(shots), circuits, state, job, reason, cost, currency, created, "
    "changed, content",
    "claims": "key, device, whole(shots), token",
}


def from_version_1(connection: sqlite3.Connection, schema: Sequence[str]) -> None:
    """Move all rows to the current tables, within the open transaction.

    Version 1 could store shots as the bytes of a NumPy integer. They become integers, so that paid jobs can still be
    fetched.

    Args:
        connection: Connection to the file.
        schema: Statements that create the current tables.
    """
    connection.create_function("whole", 1, _whole)
    connection.execute("DROP INDEX claims_of_a_job")
    for table in TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in schema:
        connection.execute(statement)
    for table, columns in TABLES.items():  # a circuit with shots of both types was in two jobs: keep the first
        connection.execute(f"INSERT OR IGNORE INTO {table} SELECT {columns} FROM old_{table}")
    for table in reversed(TABLES):
        connection.execute(f"DROP TABLE old_{table}")


def _whole(shots: int | bytes) -> int:
    return int.from_bytes(shots, "little") if isinstance(shots, bytes) else shots


APPLICATION = 0x71776A6F
"""SQLite application id ("qwjo"), which distinguishes the file from other programs' databases."""

VERSION = 2
"""Version of the schema. Version 1 had no losses, and allowed shots of any type."""

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

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one atomic transaction.

        Raises:
            DeviceError: The file cannot be created, read or written, is damaged, or has another version.
        """
        with self._in_words():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self._being_made.touch()
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
            self._being_made.unlink(missing_ok=True)

    @property
    def _being_made(self) -> Path:
        """A marker file. It exists while the database may be empty, until the first transaction has finished."""
        return self.path.with_name(f"{self.path.name}.new")

    def _check_version(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if (application, version) == (APPLICATION, VERSION):
            return
        if (application, version) == (APPLICATION, 1):
            from_version_1(connection, SCHEMA)
            return
        if application == APPLICATION:
            raise DeviceError(
                f"{self.path} has version {version}, and this Qweft reads {VERSION}; use the Qweft that wrote it, or "
                "choose another cache (QWEFT_CACHE)"
            )
        if application or version or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise DeviceError(f"{self.path} was not written by Qweft; choose another cache (QWEFT_CACHE)")
        if not self._being_made.exists():
            raise self._damaged("it is empty")
        for statement in SCHEMA:
            connection.execute(statement)

    def _damaged(self, what: object) -> DeviceError:
        return DeviceError(
            f"{self.path} is damaged ({what}); it was left as it is: put a copy in its place, or move it away, and "
            "what it held is measured and paid anew"
        )

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise DeviceError(
                    f"{self.path} has been in use by another program for {SECONDS_FOR_OTHERS} s; wait until that one "
                    "is done, or end it, and run the same command again"
                ) from error
            raise DeviceError(
                f"{self.path} cannot be used ({error}); nothing can be sent without it: make room, or choose another "
                "cache (QWEFT_CACHE)"
            ) from error
        except UnicodeEncodeError as error:  # of a provider, or of the command line
            raise DeviceError(
                f"{ascii(error.object)[:80]} is no text that {self.path} can hold; the provider's own pages say what "
                "it calls the job"
            ) from error
        except sqlite3.IntegrityError:
            raise  # a bug in Qweft, not damage
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error
        except OSError as error:
            raise DeviceError(
                f"{error.filename or self.path} cannot be written ({error.strerror}); nothing can be sent without it: "
                "choose another cache (QWEFT_CACHE)"
            ) from error
