"""Atomic writes, checks of output folders, file locks, and the cache folder."""

import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL
from glob import escape
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.text import json_text, short_repr


def cache_folder() -> Path:
    """Return the cache folder: `$QWEFT_CACHE`, else `~/.cache/qweft`."""
    return named_path(os.environ.get("QWEFT_CACHE") or "~/.cache/qweft")


def named_path(name: str) -> Path:
    """Return the path of a name, `~` expanded where it can be."""
    return Path(os.path.expanduser(name))


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Try to lock a file, without waiting, until the block ends or the process is killed; yield whether it is held."""
    from filelock import FileLock, Timeout  # here, to keep --help fast

    lock, held = FileLock(path), True
    try:
        lock.acquire(blocking=False)
    except Timeout:
        held = False
    try:
        yield held
    finally:
        lock.release()


def check_regular(path: Path) -> None:
    """Raise an OSError unless a path is a regular file: reading a pipe waits for good, and a device may never end."""
    if path.is_dir():
        raise IsADirectoryError(EINVAL, "Is a directory", str(path))
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(EINVAL, "a pipe, a socket or a device, and no regular file", str(path))


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file; raise `ValueError` if it is larger than so many bytes."""
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most:,} bytes")
    return content


def _beside(target: Path) -> Path:
    """Return a new temporary name beside a path."""
    return target.with_name(f".{target.name}.{secrets.token_hex(3)}.tmp")


def _check_no_other(path: Path, name: str = "") -> None:
    """Raise for a folder, a pipe or a device, or a process's own stream (/dev/stdout), in the place of a file."""
    if (path.exists() and not path.is_file()) or str(path.absolute()).startswith(("/dev/", "/proc/")):
        raise QweftError(f"{name}{path} is a folder, a device or a stream; give the name of a file")


def write_bytes(path: str | os.PathLike[str], content: bytes, mode: int = 0o666) -> None:
    """Write a file atomically: write and fsync a temporary file in the same folder, which is made, then rename it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_no_other(target)
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


def write_json(path: str | os.PathLike[str], record: Any) -> None:
    """Write a record of dicts, lists, texts and numbers as JSON, atomically; NaN and infinity become null."""
    write_bytes(path, (json_text(finite(record), indent=1) + "\n").encode())


def finite(value: Any) -> Any:
    """Return a copy with `None` for NaN and infinity, which JSON lacks, and with lists for tuples."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `target` when the block ends; on an error the old one stays."""
    old, beside = target.with_name(f".{target.name}.old"), _beside(target)
    if old.exists() and not os.path.lexists(target):  # a process was killed between the two renames
        os.replace(old, target)
    for path in (old, *target.parent.glob(f".{escape(target.name)}.*.tmp")):
        remove(path)
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
        remove(beside)
        if old.exists() and not os.path.lexists(target):
            os.replace(old, target)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file or a link, if it is there and may be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def free_name(path: Path) -> Path:
    """Return the first of NAME-1, NAME-2, ... that is not there; an ending stays at the end."""
    number, ending = 1, path.suffix if path.is_file() else ""
    while os.path.lexists(free := path.with_name(f"{path.name.removesuffix(ending)}-{number}{ending}")):
        number += 1
    return free


def check_file(path: Path, name: str, ending: str = "") -> None:
    """Raise unless `write_bytes` may write a file that an option names; one that is there must end like `ending`."""
    _check_no_other(path, f"{name} ")
    if not path.suffix.lower().startswith(ending and f".{ending}") and os.path.lexists(path):
        raise QweftError(f"{name} {path} is there already, and is no .{ending} file; give another name")
    check_can_be_written(path.parent)


def check_can_be_written(folder: Path) -> None:
    """Raise `QweftError` unless the folder could be written, without creating anything: for a dry run."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "Permission denied" if there.is_dir() else f"{there} is no folder"
        raise QweftError(f"output {short_repr(str(folder))} cannot be written ({reason}); choose another --output")
