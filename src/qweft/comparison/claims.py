"""Work that several processes share: each piece is done by one of them, and the others find it done."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LOCK = ".lock"
SECONDS_BETWEEN_LOOKS = 2.0
"""How long a process waits before it looks again for what another one is making."""


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process has the folder to itself until the block ends.

    The claim is a lock that the operating system holds on a file and lets go of when the process ends, however it ends:
    there is none that a killed process left behind, and no moment at which two processes have it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)  # which lets go of the lock


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # what the two systems say of a lock that another process has
        return False
    except OSError:  # a file system without locks serves one process at a time
        return True
    return True


def done_by_any(tasks: Sequence[Callable[[], T | None]]) -> Iterator[tuple[int, T]]:
    """The outcome of every task with its place, in the order in which they are there.

    Args:
        tasks: Each gives its outcome, or none where another process is at it: it is asked again later.
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
            time.sleep(SECONDS_BETWEEN_LOOKS)
        waiting = busy
