"""A lock on a file, which the operating system lets go of when the process that holds it ends, however it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[bool | None]:
    """Whether this process holds the lock until the block ends; none where the file system has no locks.

    There is no lock that a killed process left behind, and no moment at which two processes have one.

    Args:
        path: The file, made where it does not exist; its folder must.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)  # which lets go of the lock


def _lock(descriptor: int) -> bool | None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # what the two systems say of a lock that another process has
        return False
    except OSError:
        return None
    return True
