"""An output folder belongs to one command at a time, and what an earlier one left there is not overwritten."""

import json
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qweft.errors import QweftError
from qweft.files import check_name, locked, made_folder, read_bytes, stamp, write_json

CLAIM = ".claim"
"""Lock file of the command that writes an output folder; beside it, as .claim.json, stands who that is."""


EARLIER = "earlier"
"""Folder, in an output folder, of what another command made in the same one."""
LONGEST_NOTE = 4096
"""Most bytes of a claim's note that are read; a stranger's may be of any size."""


@contextmanager
def claimed_output(folder: Path, command: str, work: str | None = None, lock: Path | None = None) -> Iterator[None]:
    """Hold an output folder for one command until the block ends; a killed process lets go of it.

    If the block leaves nothing in the folder, the folder goes away again. On a file system without locks nothing is
    claimed.

    Args:
        folder: The output folder; created if missing.
        command: Command that holds it, for the error that others get: "qweft train".
        work: What is done there; processes that do the same work share the folder. `None` shares it with nobody.
        lock: The lock file; `None` means one in the folder.

    Raises:
        QweftError: If another process holds the folder, or it cannot be written, or there is no folder for temporary
            files.
    """
    check_name(folder, "output")
    _check_temporary()
    lock = lock or folder / CLAIM
    note = lock.with_name(f"{lock.name}.json")
    with ExitStack() as stack:
        stack.enter_context(made_folder(lock.parent))
        try:
            held = stack.enter_context(locked(lock))
        except OSError as error:
            raise QweftError(
                f"output {folder} cannot be claimed ({error.strerror}: {lock.name}); choose another --output"
            ) from error
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        who = {"command": command, "process": os.getpid(), "machine": socket.gethostname(), "since": since}
        if held is False:
            stack.enter_context(_seat(lock, who | {"work": work}))  # before the note is read: the holder may change
            _join(note, folder, work)
            yield
            return
        own = _inode(lock)
        try:
            if held:
                write_json(note, who | {"work": work})
                _check_seats(lock, folder, work)
            yield
        finally:
            for path in (note, lock) if _inode(lock) == own else ():  # the folder may be another command's by now
                with suppress(OSError):
                    path.unlink()


@contextmanager
def _seat(lock: Path, note: Mapping[str, Any]) -> Iterator[None]:
    """Hold a lock file of one's own beside the claim, since its holder may end first and another command come."""
    seat = lock.with_name(f"{lock.name}-{secrets.token_hex(4)}")
    beside = seat.with_name(f"{seat.name}.json")
    with ExitStack() as stack:
        for _ in range(20):  # a new holder may take it, and remove it, as that of a killed process
            held = stack.enter_context(locked(seat))
            if held is None or (held and seat.exists()):
                break
            time.sleep(0.05)
        try:
            write_json(beside, note)
            yield
        finally:
            for path in (beside, seat):
                with suppress(OSError):
                    path.unlink()


def _check_seats(lock: Path, folder: Path, work: str | None) -> None:
    """Raise if a process that shared the folder with an earlier holder goes on with other work."""
    for seat in [path for path in lock.parent.glob(f"{lock.name}-*") if path.suffix != ".json"]:
        beside = seat.with_name(f"{seat.name}.json")
        with ExitStack() as stack:
            try:
                is_free = stack.enter_context(locked(seat))
            except OSError:  # no file, or nobody can lock it
                continue
            if is_free is False:
                _join(beside, folder, work)
                continue
            for path in (beside, seat):  # of a process that was killed
                with suppress(OSError):
                    path.unlink()


def _inode(path: Path) -> int | None:
    found = stamp(path)
    return None if found is None else found[0]


def _check_temporary() -> None:
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise QweftError(
            "there is no folder for temporary files; name one by TMPDIR that can be written, on a disk with room"
        ) from error


def _join(note: Path, folder: Path, work: str | None) -> None:
    """Return if the holder of a claim does the same work; otherwise raise, and say who it is."""
    for _ in range(20):  # the holder writes its note just after it has the lock
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            who = json.loads(read_bytes(note, LONGEST_NOTE))
            if work is not None and who["work"] == work:
                return
            told = "{command} (process {process} on {machine}, since {since})".format(**who)
            break
        time.sleep(0.05)
    else:
        told = "another process"
    raise QweftError(f"output {folder} is in use by {told}; choose another --output, or wait until it has ended")


State = tuple[tuple[str, int, int], ...]


def state_of(folder: Path) -> State:
    """Return what tells whether an adapter's files were replaced: inode and time of change of each."""
    names = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
    found = [(name, (folder / name).stat()) for name in names if (folder / name).is_file()]
    return tuple((name, each.st_ino, each.st_mtime_ns) for name, each in found)


def check_state(folder: Path, before: State) -> None:
    """Check that an adapter's files are those of before.

    Raises:
        QweftError: Another command has replaced one.
    """
    if state_of(folder) != before:
        raise QweftError(f"{folder} was replaced by another command meanwhile; run the same command again")


def free_name(folder: Path) -> Path:
    """Return the first of FOLDER-1, FOLDER-2, ... that is not there."""
    number = 1
    while os.path.lexists(free := folder.with_name(f"{folder.name}-{number}")):
        number += 1
    return free


def _check_nobody_inside(folder: Path) -> None:
    found = [path for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{CLAIM}*") if path.suffix != ".json"]
    for lock in found:  # of a holder, or of one that shares the folder
        with ExitStack() as stack:
            try:
                is_free = stack.enter_context(locked(lock))
            except OSError:  # nobody can lock it
                continue
        if is_free is False:
            raise QweftError(
                f"output {folder} holds {lock.parent.relative_to(folder)}, which another command writes; choose "
                "another --output, or wait until it has ended"
            )


def set_aside(folder: Path) -> Path:
    """Rename a claimed folder to a free name, and go on with a new, empty one under the same claim.

    Of a link the folder that it leads to is renamed, so that both stay where there is room.

    Returns:
        Its new name.

    Raises:
        QweftError: Another command writes to a folder in it, or it cannot be renamed, as the current folder, or one
            that a disk is mounted on.
    """
    _check_nobody_inside(folder)
    try:
        whole = folder.resolve()
        if Path.cwd().is_relative_to(whole):
            raise ValueError("it is, or holds, the current folder")
        aside = free_name(whole)
        os.replace(whole, aside)
    except (OSError, RuntimeError, ValueError) as error:
        raise QweftError(
            f"output {folder} holds earlier results and cannot be renamed to keep them ({error}); choose another "
            "--output"
        ) from error
    try:
        whole.mkdir()
        _take_along(aside / CLAIM, whole / CLAIM)
    except FileExistsError as error:  # in the moment without a folder, or without a claim in it
        raise QweftError(
            f"output {folder} was taken by another command as the earlier results in it became {aside}; choose another "
            "--output, or wait until it has ended"
        ) from error
    with suppress(FileNotFoundError):  # a file system without locks
        os.replace(aside / f"{CLAIM}.json", whole / f"{CLAIM}.json")
    return aside


def _take_along(claim: Path, target: Path) -> None:
    """Move a lock file.

    Raises:
        FileExistsError: Another one is there.
    """
    try:
        os.link(claim, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, or without locks
        with suppress(FileNotFoundError):
            os.replace(claim, target)
    else:
        claim.unlink()


def check_earlier(folder: Path) -> None:
    """Check that earlier results can be set aside in an output folder.

    Raises:
        QweftError: A link or a file has the name of the folder for them.
    """
    place = folder / EARLIER
    if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
        raise QweftError(
            f"{place} is a link or no folder, and earlier results would be set aside there; remove it, or choose "
            "another --output"
        )


def earlier_in(folder: Path) -> Path:
    """Return the folder of earlier results in an output folder; it is created if missing.

    Raises:
        QweftError: As `check_earlier`.
    """
    check_earlier(folder)
    (folder / EARLIER).mkdir(exist_ok=True)
    return folder / EARLIER


def keep_earlier(folder: Path, name: str, files: Sequence[Path]) -> Path:
    """Rename files of an output folder into a new folder of its earlier results.

    What a killed process began is gone on with: the files of one report stay together.

    Args:
        folder: The output folder.
        name: What they are; the new folder gets a number behind it.
        files: Those that are there. The last one is renamed last.

    Returns:
        The new folder.

    Raises:
        QweftError: As `check_earlier`.
    """
    aside = free_name(earlier_in(folder) / name)
    begun = aside.with_name(f"{name}-{int(aside.name.removeprefix(f'{name}-')) - 1}")
    if begun.is_dir() and not begun.is_symlink() and not any(os.path.lexists(begun / path.name) for path in files):
        aside = begun
    aside.mkdir(exist_ok=True)
    for path in files:
        with suppress(FileNotFoundError):  # a process beside this one has just moved it
            os.replace(path, aside / path.name)
    return aside
