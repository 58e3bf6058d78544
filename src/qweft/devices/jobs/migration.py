"""Files that an earlier Qweft wrote: what they hold was paid for."""

import sqlite3
from collections.abc import Sequence

TABLES = {
    "results": "key, device, whole(shots), calibration, fetched_under, qubits, counts, token, stored",
    "jobs": "token, name, device, calibration, whole(shots), circuits, state, job, reason, cost, currency, created, "
    "changed, content",
    "claims": "key, device, whole(shots), token",
}


def from_version_1(connection: sqlite3.Connection, schema: Sequence[str]) -> None:
    """Move everything into tables of the present form, within the transaction that is open.

    Shots that had been written as the bytes of a NumPy integer become the number that they are, so that the jobs they
    were paid with can be fetched.

    Args:
        connection: To the file.
        schema: What makes the present tables.
    """
    connection.create_function("whole", 1, _whole)
    connection.execute("DROP INDEX claims_of_a_job")
    for table in TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in schema:
        connection.execute(statement)
    for table, columns in TABLES.items():  # a circuit with shots of both types was in two jobs: the first has it now
        connection.execute(f"INSERT OR IGNORE INTO {table} SELECT {columns} FROM old_{table}")
    for table in reversed(TABLES):
        connection.execute(f"DROP TABLE old_{table}")


def _whole(shots: int | bytes) -> int:
    return int.from_bytes(shots, "little") if isinstance(shots, bytes) else shots
