"""Atomic writes, checks of output folders, file locks, and the cache folder."""

import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP
from pathlib import Path
from typing import Any

from qweft.errors import QweftError
from qweft.text import json_text, shown

NO_LOCKS = {EINVAL, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP}
"""Error numbers that mean the file system does not support locks."""
NEW = 0o666
"""Permissions of a new file, before the process's mask."""
LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]{6}\.tmp")
"""Names of temporary files; those of others may end in .tmp, too."""


def cache_folder() -> Path:
    """Return the cache folder: `$QWEFT_CACHE`, else `~/.cache/qweft`; raise `QweftError` without a home folder."""
    if chosen := os.environ.get("QWEFT_CACHE"):
        return named_path(chosen)
    try:
        return Path.home() / ".cache" / "qweft"
    except RuntimeError as error:
        raise QweftError("this user has no home folder for the cache; set QWEFT_CACHE to a folder") from error


def named_path(name: str) -> Path:
    """Return the path of a name, `~` expanded where it can be; raise `QweftError` for one of more than 255 letters."""
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # the user in "~user" does not exist
        path = Path(name)
    try:
        path.exists()
    except OSError as error:
        raise QweftError(f"{shown(name)} cannot be looked for ({error.strerror}); give another name") from error
    return path


@contextmanager
def locked(path: Path) -> Iterator[bool | None]:
    """Try to lock a file, without waiting, until the block ends or the process is killed.

    Yields:
        Whether this process holds the lock; `None` if the file system does not support locks.

    Raises:
        QweftError: The file cannot be written.
    """
    from filelock import FileLock, Timeout  # here, to keep --help fast

    lock = FileLock(path, fallback_to_soft=False)  # a marker file would outlive a killed process
    held: bool | None = True
    try:
        lock.acquire(blocking=False)
    except Timeout:
        held = False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            way = "remove it, or choose another --output"
            raise QweftError(f"{path} cannot be locked ({error.strerror}); {way}") from error
        held = None
    try:
        yield held
    finally:
        lock.release()


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file; raise `ValueError` if it is larger, or a pipe, which could block."""
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("a pipe or a device, and no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most:,} bytes")
    return content


def leftovers(folder: Path, names: Collection[str]) -> list[Path]:
    """Return the temporary files and folders that stopped writes of these names left in a folder."""
    matches = ((path, LEFTOVER.fullmatch(path.name)) for path in folder.glob(".*.tmp"))
    return [path for path, match in matches if match and match[1] in names]


def _beside(target: Path) -> Path:
    """Return a new temporary name beside a path; workers in two containers can have one process number."""
    return target.with_name(f".{target.name}.{secrets.token_hex(3)}.tmp")


def write_bytes(path: str | os.PathLike[str], content: bytes, mode: int = NEW) -> None:
    """Write a file atomically: write and fsync a temporary file in the same folder, which is made, then rename it.

    Raises:
        QweftError: A folder, a device or a process's own stream is there.
        OSError: The file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if _is_no_file(target):
        raise QweftError(f"{target} is a folder, a device or a stream, and a file is to be written there; name a file")
    beside = _beside(target)
    try:
        with open(beside, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _is_no_file(path: Path) -> bool:
    """Whether a path is a folder, a pipe or a device, or a process's own stream: /dev/stdout, whatever it leads to."""
    return (path.exists() and not path.is_file()) or str(path.absolute()).startswith(("/dev/", "/proc/"))


def check_file(path: Path, name: str, ending: str = "") -> None:
    """Raise `QweftError` unless `write_bytes` may write a file that an option names, and replaces at most its like.

    `ending` is the beginning of the ending that a replaced file must have.
    """
    if _is_no_file(path):
        raise QweftError(f"{name} {path} is a folder, a device or a stream; give the name of a file")
    if not path.suffix.lower().startswith(ending and f".{ending}") and os.path.lexists(path):
        raise QweftError(f"{name} {path} is there already, and is no .{ending} file; give another name")
    check_can_be_written(path.parent)


def write_json(path: str | os.PathLike[str], record: Any) -> None:
    """Write a record of dicts, lists, texts and numbers as JSON, atomically; NaN and infinity become null."""
    write_bytes(path, (json_text(finite(record), indent=1) + "\n").encode())


def _kept_aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def settle(target: Path) -> None:
    """Bring a folder back if a process was killed between the two renames of `folder_beside`."""
    if _kept_aside(target).exists() and not os.path.lexists(target):
        with suppress(FileNotFoundError):  # a process beside this one has just done it
            os.replace(_kept_aside(target), target)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `target` when the block ends; on an error the old one stays."""
    settle(target)
    beside, old = _beside(target), _kept_aside(target)
    remove(old)
    if os.path.lexists(old):  # write-protected, or held open by another process
        old = _beside(target)
    beside.mkdir(parents=True)
    try:
        yield beside
        for path in beside.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if os.path.lexists(target):
            os.replace(target, old)
        os.replace(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise
    remove(old)


def stamp(path: Path) -> tuple[int, int] | None:
    """Return what tells whether a file was written anew: its inode and time of change; `None` without a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file or a link, if it is there and may be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Create a folder, or raise as `check_writable`; at the end, remove what was created and is still empty."""
    missing: list[Path] = []
    with suppress(OSError):  # a name that is too long, for which check_writable has the sentence
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        check_writable(folder)
        yield
    finally:
        with suppress(OSError):  # the first one that holds something
            for place in missing:
                place.rmdir()


def check_regular(path: Path) -> None:
    """Raise an OSError unless a path is a regular file: reading a pipe waits for good, and a device may never end."""
    if path.is_dir():
        raise IsADirectoryError(EINVAL, "Is a directory", str(path))
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(EINVAL, "a pipe, a socket or a device, and no regular file", str(path))


def check_writable(folder: Path) -> None:
    """Create the folder and a probe file in it, or raise `QweftError`, before a long run."""
    probe = folder / f".{secrets.token_hex(3)}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise QweftError(f"output {folder} cannot be written ({error.strerror}); choose another --output") from error


def check_can_be_written(folder: Path) -> None:
    """Raise `QweftError` unless the folder could be written, without creating anything: for a dry run."""
    try:
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    except OSError as error:
        raise QweftError(
            f"output {shown(str(folder))} cannot be written ({error.strerror}); choose another --output"
        ) from error
    reason = f"{there} is no folder" if not there.is_dir() else "Permission denied"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise QweftError(f"output {folder} cannot be written ({reason}); choose another --output")


def finite(value: Any) -> Any:
    """Return a copy with `None` for NaN and infinity, which JSON lacks, and with lists for tuples."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
