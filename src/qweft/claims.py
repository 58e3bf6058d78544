"""An output folder belongs to one command at a time, and what an earlier one left there is not overwritten."""

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EEXIST
from pathlib import Path

from qweft.errors import QweftError
from qweft.files import locked, made_folder, read_bytes, write_json

CLAIM = ".claim"
"""Lock file of the command that writes an output folder; beside it, as .claim.json, stands who that is."""
EARLIER = "earlier"
"""Folder, in an output folder, of what another command made in the same one."""


@contextmanager
def claimed_output(folder: Path, command: str, work: str | None = None, lock: Path | None = None) -> Iterator[None]:
    """Hold an output folder for one command until the block ends; raise `QweftError` if another process holds it.

    Processes that do the same `work` share it. A folder that is left empty goes away again. A killed process lets go of
    the lock file, by default one in the folder; on a file system without locks nothing is claimed.
    """
    lock = lock or folder / CLAIM
    note = lock.with_name(f"{lock.name}.json")
    with made_folder(lock.parent), locked(lock) as held:
        if held is False:
            _check_same_work(note, folder, work)
            yield
            return
        try:
            if held:
                since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
                who = {"command": command, "process": os.getpid(), "machine": socket.gethostname(), "since": since}
                write_json(note, who | {"work": work})
            yield
        finally:
            for path in (note, lock):
                path.unlink(missing_ok=True)


def _check_same_work(note: Path, folder: Path, work: str | None) -> None:
    """Raise, and say who holds the folder, unless that process does the same work."""
    holder = "another process"
    for _ in range(20):  # the holder writes its note just after it has the lock
        with suppress(OSError, ValueError, KeyError, TypeError):
            who = json.loads(read_bytes(note, 4096))
            if work is not None and who["work"] == work:
                return
            holder = "{command} (process {process} on {machine}, since {since})".format(**who)
            break
        time.sleep(0.05)
    raise QweftError(f"output {folder} is in use by {holder}; choose another --output, or wait until it has ended")


State = tuple[tuple[str, int, int], ...]


def state_of(folder: Path) -> State:
    """Return what tells whether an adapter's files were replaced: inode and time of change of each."""
    names = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
    files = [(name, (folder / name).stat()) for name in names if (folder / name).is_file()]
    return tuple((name, each.st_ino, each.st_mtime_ns) for name, each in files)


def check_state(folder: Path, before: State) -> None:
    """Raise `QweftError` if another command has replaced one of an adapter's files."""
    if state_of(folder) != before:
        raise QweftError(f"{folder} was replaced by another command meanwhile; run the same command again")


def free_name(folder: Path) -> Path:
    """Return the first of FOLDER-1, FOLDER-2, ... that is not there."""
    number = 1
    while os.path.lexists(free := folder.with_name(f"{folder.name}-{number}")):
        number += 1
    return free


def keep_earlier(folder: Path, name: str, files: Sequence[Path]) -> Path:
    """Move files of an output folder into a new folder of its earlier results, or raise `QweftError`."""
    place = folder / EARLIER
    try:
        if place.is_symlink():
            raise FileExistsError(EEXIST, "a link", str(place))
        place.mkdir(exist_ok=True)
        aside = free_name(place / name)
        aside.mkdir()
        for path in files:
            with suppress(FileNotFoundError):  # a process beside this one has just moved it
                os.replace(path, aside / path.name)
    except OSError as error:
        way = "remove it, or choose another --output"
        raise QweftError(f"earlier results cannot be moved to {place} ({error.strerror}); {way}") from error
    return aside
