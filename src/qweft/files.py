"""Files written atomically, locks that end with their process, and the cache folder."""

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP
from pathlib import Path
from typing import Any

from qweft.errors import QweftError


def cache_folder() -> Path:
    """Return the cache: `$QWEFT_CACHE`, else `~/.cache/qweft`."""
    chosen = os.environ.get("QWEFT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "qweft"


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


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file beside its place, force it to the disk and rename it.

    Args:
        path: The file; its folder is made where it does not exist.
        content: All of it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: str | os.PathLike[str], record: Any) -> None:
    """Write a record as JSON.

    Args:
        path: The file; its folder is made where it does not exist.
        record: Dicts, lists, strings and numbers; numbers that are not finite become null, as JSON has none.
    """
    text = json.dumps(finite(record), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A new folder to write into; it takes the place of `target` when all has been written.

    What stood there before goes only after the new one is complete; on an error it stays and the new one goes.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    old = target.with_name(f".{target.name}.old")
    if old.exists() and not target.exists():  # killed between the two renames below
        os.replace(old, target)
    for leftover in (beside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        for path in beside.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if target.exists():
            os.replace(target, old)
        os.replace(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Make the folder and a file in it, before hours of work are to be written there.

    Raises:
        QweftError: If that cannot be done.
    """
    probe = folder / f".{os.getpid()}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise QweftError(f"output {folder} cannot be written ({error.strerror}); choose another --output") from error


def check_can_be_written(folder: Path) -> None:
    """The same as far as it can be seen without making anything: what a dry run may do.

    Raises:
        QweftError: If the folder, or what it is to be made in, is a file, may not be written to or looked at.
    """
    try:
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    except OSError as error:
        name = str(folder) if len(str(folder)) <= 100 else f"{str(folder)[:100]}..."
        raise QweftError(f"output {name} cannot be written ({error.strerror}); choose another --output") from error
    if not there.is_dir():
        raise QweftError(f"output {folder} cannot be written ({there} is no folder); choose another --output")
    if not os.access(there, os.W_OK | os.X_OK):
        raise QweftError(f"output {folder} cannot be written (Permission denied); choose another --output")


def finite(value: Any) -> Any:
    """The same, with null for every number that JSON does not have, and lists for tuples."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
