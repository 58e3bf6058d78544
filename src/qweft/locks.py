"""A lock on a file, held by one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP
from pathlib import Path

NO_LOCKS = {EINVAL, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP}
"""What systems answer where a file system has no locks."""


@contextmanager
def locked(path: Path) -> Iterator[bool | None]:
    """Whether this process holds the lock until the block ends; `None` where the file system has no locks.

    The operating system releases the lock when the process ends, however it ends. filelock's substitute on file
    systems without locks, a marker file, would outlive a killed process on another machine: it is not used.

    Args:
        path: The file, made where it does not exist; its folder must.

    Raises:
        OSError: The file cannot be written.
    """
    from filelock import FileLock, Timeout  # here: nothing that only prints help needs it

    lock = FileLock(path, fallback_to_soft=False)
    held: bool | None = True
    try:
        lock.acquire(blocking=False)
    except Timeout:
        held = False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        held = None
    try:
        yield held
    finally:
        lock.release()
