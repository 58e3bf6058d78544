"""Atomic writes, checks of output folders, file locks, and the cache folder."""

import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EINVAL, EISDIR, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP
from pathlib import Path
from typing import Any

from qweft.errors import QweftError
from qweft.text import json_text, shown

NO_LOCKS = {EINVAL, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP}
"""Error numbers that mean the file system does not support locks."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Flag for files of a known name: in a folder that a stranger made, a link could stand there, and lead elsewhere."""

NEW = 0o666
"""Permissions of a new file, before the process's mask."""
LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]{6}\.tmp")
"""Names of temporary files; those of others may end in .tmp, too."""

SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""Last bytes of an SQLite journal that names another file."""


def cache_folder() -> Path:
    """Return the cache folder: `$QWEFT_CACHE`, else `~/.cache/qweft`.

    Raises:
        QweftError: There is no home folder, as in a container without HOME.
    """
    if chosen := os.environ.get("QWEFT_CACHE"):
        return named_path(chosen)
    try:
        return Path.home() / ".cache" / "qweft"
    except RuntimeError as error:
        raise QweftError("this user has no home folder for the cache; set QWEFT_CACHE to a folder") from error


def named_path(name: str) -> Path:
    """Return the path that a name stands for; `~` is expanded where it can be.

    Raises:
        QweftError: The system does not take the name, as one of more than 255 letters.
    """
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
    """Try to lock a file, without waiting, until the block ends.

    The operating system releases the lock when the process ends, however it ends. On file systems without locks,
    filelock's fallback is a marker file. It is not used, as it would outlive a killed process on another machine.

    Args:
        path: The lock file; it and its folder are created if missing.

    Yields:
        Whether this process holds the lock; `None` if the file system does not support locks.

    Raises:
        OSError: The file cannot be written.
    """
    from filelock import FileLock, Timeout  # imported here to keep --help fast

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


@contextmanager
def locked_in_words(path: Path) -> Iterator[bool | None]:
    """As `locked`, with an error in words: in a folder that a stranger made, a link or a folder could stand there.

    Raises:
        QweftError: The file cannot be written.
    """
    with ExitStack() as stack:
        try:
            held = stack.enter_context(locked(path))
        except OSError as error:
            raise QweftError(
                f"{path} cannot be locked ({error.strerror}); remove it, or choose another --output"
            ) from error
        yield held


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file; a pipe or a device could block or never end.

    Args:
        path: The file.
        most: Largest size, in bytes.

    Raises:
        ValueError: It is larger.
        IsADirectoryError: It is a folder.
        OSError: It is not a regular file, or cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        _check_mode(found.st_mode, path)
        content = file.read(most + 1) if found.st_size <= most else None
    if content is None or len(content) > most:
        raise ValueError(f"larger than {most:,} bytes")
    return content


def _own_name() -> str:
    """Return a part of a temporary file's name; workers in two containers can have one process number."""
    return secrets.token_hex(3)


def leftovers(folder: Path, names: Collection[str]) -> list[Path]:
    """Return the temporary files and folders that stopped writes of these names left in a folder."""
    found = ((path, LEFTOVER.fullmatch(path.name)) for path in folder.glob(".*.tmp"))
    return [path for path, match in found if match and match[1] in names]


def write_bytes(path: str | os.PathLike[str], content: bytes, mode: int = NEW) -> None:
    """Write a file atomically: write and fsync a temporary file in the same folder, then rename it.

    Args:
        path: Target file; its folder is created if missing.
        content: Entire content of the file.
        mode: Its permissions. The default is reduced by the process's mask.

    Raises:
        QweftError: A folder, a device or a process's own stream is there.
        OSError: The file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{_own_name()}.tmp")
    if target.is_dir() and not target.is_symlink():
        raise QweftError(f"{target} is a folder, and a file is to be written there; remove it")
    if _is_device(target):
        raise QweftError(f"{target} is a device, a pipe or a stream, which a file would replace; name a file")
    try:
        with open(beside, "wb", opener=lambda path, flags: os.open(path, flags | NO_LINK, mode)) as file:
            if mode != NEW and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _is_device(path: Path) -> bool:
    """Whether a path leads to a device or a pipe, or is a process's own stream: /dev/stdout, whatever it leads to."""
    with suppress(OSError):
        if stat.S_IFMT(path.stat().st_mode) in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
            return True
    places = [path.parent, (path.parent / os.readlink(path)).parent] if path.is_symlink() else [path.parent]
    return any(os.path.realpath(place).startswith("/proc/") for place in places)


def check_file(path: Path, name: str, ending: str = "") -> None:
    """Check that `write_bytes` may write a file whose name the user gave, and replaces at most another file.

    Args:
        path: The file.
        name: What names it: "--output".
        ending: First letters of the ending that a replaced file must have.

    Raises:
        QweftError: Something else is there, or its folder cannot be written.
    """
    if _is_device(path) or (path.exists() and not path.is_file()):
        what = "a folder" if path.is_dir() else "a device, a pipe or a stream"
        raise QweftError(f"{name} {path} is {what}; give the name of a file")
    if not path.suffix.lower().startswith(ending and f".{ending}") and os.path.lexists(path):
        raise QweftError(f"{name} {path} is there already, and is no .{ending} file; give another name")
    check_can_be_written(path.parent)


def write_json(path: str | os.PathLike[str], record: Any) -> None:
    """Write a record as JSON, atomically.

    Args:
        path: Target file; its folder is created if missing.
        record: Dicts, lists, strings and numbers. NaN and infinity become null, as JSON has neither.
    """
    text = json_text(finite(record), indent=1)
    write_bytes(path, (text + "\n").encode())


def _kept_aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def settle(target: Path) -> None:
    """Bring a folder back if a process was killed between the two renames of `folder_beside`.

    Raises:
        OSError: It cannot be renamed.
    """
    old = _kept_aside(target)
    if old.exists() and not os.path.lexists(target):
        with suppress(FileNotFoundError):  # a process beside this one has just done it
            os.replace(old, target)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `target` when the block ends.

    The old `target` is deleted only after the new one is complete. On an error the old one stays and the temporary
    folder is deleted.
    """
    beside, old = target.with_name(f".{target.name}.{_own_name()}.tmp"), _kept_aside(target)
    settle(target)
    remove(old)
    if os.path.lexists(old):  # write-protected, or held open by another process
        old = target.with_name(f".{target.name}.{_own_name()}.tmp")
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
    remove(old)  # which may be a link, or a pipe


def stamp(path: Path) -> tuple[int, int] | None:
    """Return what tells whether a file was written anew: its inode and time of change; `None` without a file.

    Two stamps are compared, and never one with a clock: that of a file server may be behind.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def check_name(path: Path | str, what: str) -> None:
    """Check that a path is text, as records and safetensors take it: names of files can be any bytes.

    Args:
        path: The path.
        what: What it is, for the error: "output".

    Raises:
        QweftError: It is not in UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise QweftError(f"{what} {path}: the name is not in UTF-8; rename it, or choose another") from error


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file or a link, if it is there and may be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Create a folder and check that it can be written; at the end, remove what was created and is still empty.

    Raises:
        QweftError: As `check_writable`.
    """
    with suppress(OSError):  # a name that is too long, for which check_writable has the sentence
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        check_writable(folder)
        yield
    finally:
        with suppress(OSError):  # the first one that holds something, or nothing was created
            for place in missing:
                place.rmdir()


def check_regular(path: Path) -> None:
    """Raise unless a path is a regular file: reading a pipe waits for good, and a device may never end.

    Raises:
        IsADirectoryError: It is a folder.
        FileNotFoundError: It does not exist.
        OSError: It is something else, or cannot be looked at.
    """
    _check_mode(path.stat().st_mode, path)


def _check_mode(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(EINVAL, "a pipe, a socket or a device, and no regular file", str(path))


def check_database(path: Path) -> None:
    """Raise unless SQLite may open a path in a folder that a stranger made.

    SQLite writes through links, also those beside the file, and deletes the file that a super-journal names.

    Raises:
        OSError: One of its files is a link, or no regular file.
        ValueError: Its journal names another file.
    """
    for ending in ("", "-journal", "-wal", "-shm"):
        file = path.with_name(path.name + ending)
        if file.is_symlink():
            raise OSError(EINVAL, f"{file.name} is a link", str(file))
        with suppress(FileNotFoundError):
            check_regular(file)
            if ending == "-journal":
                with file.open("rb") as journal:
                    journal.seek(max(0, file.stat().st_size - len(SUPER_JOURNAL)))
                    if journal.read() == SUPER_JOURNAL:
                        raise ValueError(f"{file.name} names another file, which would be deleted")


def check_writable(folder: Path) -> None:
    """Create the folder and a probe file in it, so that a long run fails early if its output cannot be written.

    Raises:
        QweftError: The folder or the file cannot be created.
    """
    probe = folder / f".{_own_name()}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | NO_LINK, 0o666))
        probe.unlink()
    except OSError as error:
        raise QweftError(f"output {folder} cannot be written ({error.strerror}); choose another --output") from error


def check_can_be_written(folder: Path) -> None:
    """Check that the folder could be written, without creating anything: `check_writable` for a dry run.

    Raises:
        QweftError: The folder, or its nearest existing parent, is a file, is not writable, or cannot be accessed.
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
    """Return a copy with `None` for NaN and infinity, which JSON lacks, and with lists for tuples."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
