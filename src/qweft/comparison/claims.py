"""Work that several processes share: each piece is done by one of them, and the others find it done."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from qweft.files import locked

T = TypeVar("T")

LOCK = ".lock"
SECONDS_BETWEEN_LOOKS = 2.0
"""How long a process waits before it looks again for what another one is making."""


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process has the folder to itself until the block ends.

    A file system without locks serves one process at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK) as held:
        yield held is not False


def sleep() -> None:
    """Wait for other processes to make something."""
    time.sleep(SECONDS_BETWEEN_LOOKS)


def done_by_any(tasks: Sequence[Callable[[], T | None]], wait: Callable[[], None] = sleep) -> Iterator[tuple[int, T]]:
    """The outcome of every task with its place, in the order in which they are there.

    Args:
        tasks: Each gives its outcome, or none where something else is at it: it is asked again later.
        wait: Is called after a whole look that brought nothing.
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
