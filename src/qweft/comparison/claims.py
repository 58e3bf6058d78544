"""Work that several processes share: one of them does each task, and the others read its result."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from qweft.files import locked

T = TypeVar("T")

LOCK = ".lock"
SECONDS_BETWEEN_LOOKS = 2.0
"""Polling interval, in seconds, while another process works on a task."""


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process has the folder to itself until the block ends.

    On a file system without locks this is always true, so only one process at a time may use the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK) as held:
        yield held is not False


def sleep() -> None:
    """Sleeps for one polling interval."""
    time.sleep(SECONDS_BETWEEN_LOOKS)


def done_by_any(tasks: Sequence[Callable[[], T | None]], wait: Callable[[], None] = sleep) -> Iterator[tuple[int, T]]:
    """Yields (index, result) of every task, in order of completion.

    Args:
        tasks: Each returns its result, or `None` while another process works on it; it is then called again later.
        wait: Called after a whole pass without a result.
    """
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
