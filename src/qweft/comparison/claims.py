"""Work that several processes share: one of them does each task, and the others read its result."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from qweft.claims import claimed_output
from qweft.errors import saying_when_stopped
from qweft.files import locked

T = TypeVar("T")

LOCK = ".lock"
SECONDS_BETWEEN_LOOKS = 2.0
"""Polling interval, in seconds, while another process works on a task."""


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process has the folder to itself until the block ends."""
    with suppress(FileExistsError, NotADirectoryError):  # a file here or above, in which no lock can be
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK) as held:
        yield held is not False


@contextmanager
def shared_output(command: str, config: Any) -> Iterator[None]:
    """Hold the output folder of `config` for this command, with the processes that were given the same config."""
    work = asdict(config)
    for name in ("workers", "executor", "output"):
        del work[name]
    del work["model"]["device"]
    key = hashlib.sha256(json.dumps([command, work], sort_keys=True, default=str).encode()).hexdigest()
    kept = f"finished runs are kept in {config.output}; the same command goes on"
    with claimed_output(Path(config.output), command, key), saying_when_stopped(lambda: kept):
        yield


def sleep() -> None:
    """Sleep for one polling interval."""
    time.sleep(SECONDS_BETWEEN_LOOKS)


def done_by_any(tasks: Sequence[Callable[[], T | None]], wait: Callable[[], None] = sleep) -> Iterator[tuple[int, T]]:
    """Yield (index, result) of every task, in order of completion."""
    waiting = list(enumerate(tasks))
    while waiting:
        busy = []
        for place, task in waiting:
            outcome = task()
            if outcome is None:
                busy.append((place, task))
            else:
                yield place, outcome
        if len(busy) == len(waiting):
            wait()
        waiting = busy
