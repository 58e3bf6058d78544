"""An output folder belongs to one command at a time."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from qweft.core.errors import QweftError
from qweft.core.files import locked, read_bytes, write_json

CLAIM = ".claim"
"""Lock file of the command that writes an output folder; beside it, as .claim.json, stands who that is."""


@contextmanager
def claimed_output(folder: Path, command: str, work: str | None = None, lock: Path | None = None) -> Iterator[None]:
    """Hold an output folder for one command, and for processes that do the same `work`, until the block ends.

    Raise `QweftError` if another process holds it. A folder that is left empty goes away again.
    """
    lock = lock or folder / CLAIM
    note, place = lock.with_name(f"{lock.name}.json"), lock.parent
    try:
        missing = [each for each in (place, *place.parents) if not each.exists()]
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QweftError(f"output {place} cannot be written ({error.strerror}); choose another --output") from error
    try:
        with locked(lock) as held:
            if not held:
                _check_same_work(note, folder, work)
                yield
                return
            try:
                since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
                holder = f"{command} (process {os.getpid()} on {socket.gethostname()}, since {since})"
                write_json(note, {"holder": holder, "work": work})
                yield
            finally:
                for path in (note, lock):
                    path.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # the first one that holds something
            for each in missing:
                each.rmdir()


def _check_same_work(note: Path, folder: Path, work: str | None) -> None:
    """Raise, and say who holds the folder, unless that process does the same work."""
    claim = {"holder": "another process", "work": None}
    for _ in range(20):  # the holder writes its note just after it has the lock
        with suppress(OSError, ValueError):
            claim = json.loads(read_bytes(note, 4096))
            break
        time.sleep(0.05)
    if work is None or claim["work"] != work:
        way = "choose another --output, or wait until it has ended"
        raise QweftError(f"output {folder} is in use by {claim['holder']}; {way}")
