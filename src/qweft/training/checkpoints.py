"""Atomic checkpoints of a run, with checksums."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qweft.errors import QweftError
from qweft.files import check_regular, read_bytes, remove, write_json
from qweft.method.stated import as_recorded, meant_then
from qweft.records import check_damage, is_own, marked, read_record
from qweft.text import cut, shown

MANIFEST = "checkpoint.json"
STAGING = ".staging"
STATE = "trainer_state.json"
MOST_STATE = 2**30
"""Largest state of the trainer that is read, in bytes; it has a line for each step."""
NAME = re.compile(r"step-(\d+)")
NOT_NEEDED = ("training_args.bin", "README.md")
"""Files that the trainer writes and resuming does not read; the first is a pickle."""
WHOLE_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "adapter_model.bin")
"""Files that the trainer reads before the adapter's, or in its place, and that no run of an adapter writes."""
SHARDED = (".metadata", ".distcp")
"""Ends of the names of FSDP's files, which PyTorch reads with `pickle`."""
NO_KEY = (
    "FSDP's shards are pickles, which are read only with a mark of yours, and the key for it cannot be written; set "
    "QWEFT_CACHE to a folder that can"
)
NEEDED = ("optimizer", "scheduler.pt")
"""Beginnings of names of files without which the trainer goes on silently: with a fresh optimizer, or another rate."""


@dataclass(frozen=True)
class Found:
    """A checkpoint on disk.

    Args:
        folder: The checkpoint's folder, for the trainer's `resume_from_checkpoint`.
        step: Optimizer steps so far.
        extra: State of the run that the trainer does not save.
    """

    folder: Path
    step: int
    extra: dict[str, Any]


def newest_step(folder: Path) -> int | None:
    """Return the step of the newest checkpoint in a folder of checkpoints; `None` without any."""
    found = own_folders(folder)
    return int(found[-1].name.removeprefix("step-")) if found else None


def own_folders(folder: Path) -> list[Path]:
    """Return the checkpoints that a run made here: an output may be a project's folder, with others' checkpoints."""
    return [path for path in folders_in(folder) if os.path.lexists(path / MANIFEST)]


def remove_all(folder: Path) -> None:
    """Remove the checkpoints of a finished run, and their folder if nothing else is in it."""
    for path in own_folders(folder):
        _discard(path)
    remove(folder / STAGING)
    with suppress(OSError):  # it holds something else, or is not there
        folder.rmdir()


def _discard(checkpoint: Path) -> None:
    """Remove a checkpoint, its manifest last: without it, what a kill leaves would be nobody's, and stay for good."""
    with suppress(OSError):  # it is not there, or may not be listed
        if not checkpoint.is_symlink():
            for path in checkpoint.iterdir():
                if path.name != MANIFEST:
                    remove(path)
    remove(checkpoint)


def folders_in(folder: Path) -> list[Path]:
    """Return the checkpoints' folders in the order of their steps."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Folder of the checkpoints step-40, step-80, and so on.
        identity: Everything that determines the run's result; checkpoints with another identity are refused.
        newest: Number of checkpoints to keep.
        extra: Return state to save with the trainer's, by name; more may be added.
        add: Writes further files into a checkpoint's folder.
        tell: Receives a line if a checkpoint cannot be written or is damaged.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        newest: int = 2,
        extra: Mapping[str, Callable[[], Any]] | None = None,
        tell: Callable[[str], None] = print,
        add: Callable[[Path], None] = lambda folder: None,
    ) -> None:
        self.folder = folder
        self.identity = json.loads(json.dumps(identity))
        self.newest = newest
        self.extra = dict(extra or {})
        self.tell = tell
        self.add = add
        self._damaged: list[Path] = []

    @property
    def staging(self) -> Path:
        """Folder in which the trainer writes; never read."""
        return self.folder / STAGING

    def clear_staging(self) -> None:
        """Remove what a killed process left in the staging folder."""
        remove(self.staging)

    def keep(self, step: int, failed: Exception | None = None) -> None:
        """Move the trainer's newest checkpoint from staging to its folder, then remove the oldest ones.

        If the checkpoint cannot be written, it is removed, earlier ones stay, and the run goes on.

        Args:
            step: Optimizer steps so far.
            failed: The trainer's error if it could not write the checkpoint.
        """
        written = self.staging / f"checkpoint-{step}"
        place = self.folder / f"step-{step}"
        try:
            if failed is not None:
                raise failed
            for name in NOT_NEEDED:
                (written / name).unlink(missing_ok=True)
            self.add(written)
            files = {
                str(path.relative_to(written)): _digest(path) for path in sorted(written.rglob("*")) if path.is_file()
            }
            extra = {name: state() for name, state in self.extra.items()}
            manifest = {"step": step, "identity": self.identity, "extra": extra, "files": files}
            manifest = marked(manifest, "files")
            if _shards_in(files) and not is_own(manifest, "files"):
                self.tell(f"step {step}: the run will not go on from this checkpoint: {NO_KEY}")
            write_json(written / MANIFEST, manifest)
            for path in written.rglob("*"):
                if path.is_file():
                    _sync(path)
            if place.exists() and not os.path.lexists(place / MANIFEST):
                raise FileExistsError(f"{place} is there, and no run made it")
            _discard(place)
            os.replace(written, place)
            _sync(self.folder)
        except Exception as error:  # a full disk raises different errors in different libraries
            self.clear_staging()
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            self.tell(
                f"step {step}: no checkpoint could be written to {self.folder} ({reason[:200]}); the run goes on, "
                "earlier checkpoints are kept"
            )
            return
        self.clear_staging()
        # not by the steps alone: damaged ones of later steps would outlive the one that was just written
        others = [path for path in own_folders(self.folder) if path not in (place, *self._damaged)]
        damaged = [path for path in self._damaged if path != place]
        for old in (*damaged, *others[: max(0, len(others) + 1 - self.newest)]):
            _discard(old)
        self._damaged = []

    def find(self) -> Found | None:
        """Return the newest undamaged checkpoint of this run, or `None`.

        Raises:
            QweftError: If the checkpoints belong to another run, or hold what their run did not write.
            OSError: If the disk or its permissions refuse one, which may be whole.
        """
        for folder in reversed(folders_in(self.folder)):
            manifest = self._manifest(folder)
            if manifest is None:
                is_own = os.path.lexists(folder / MANIFEST)
                what = "is damaged" if is_own else "has no manifest of a run"
                self.tell(f"checkpoint {folder} {what} and passed over")
                self._damaged += [folder] if is_own else []
                continue
            # checkpoints of earlier versions do not tell the weights, and have the steps of one process
            theirs, meant = {"weights": self.identity.get("weights"), "processes": 1} | manifest["identity"], ""
            if isinstance(adapter := theirs.get("adapter"), dict):
                theirs, meant = theirs | {"adapter": as_recorded(adapter)}, meant_then(adapter)
            different = _different(theirs, self.identity)
            if different:
                raise QweftError(
                    f"{self.folder} holds checkpoints of another run: {different}{meant and f' ({meant})'}; choose "
                    "another --output, or remove that folder"
                )
            _check_alone(folder, manifest["files"])
            _check_own_shards(folder, manifest)
            return Found(folder, manifest["step"], manifest["extra"])
        return None

    @property
    def is_empty(self) -> bool:
        """Whether the folder holds no checkpoints."""
        return not own_folders(self.folder)

    def _manifest(self, folder: Path) -> dict[str, Any] | None:
        """Return the manifest; `None` if a file is missing, its checksum differs, or it is of another step.

        The step in the trainer's state decides when the training ends.
        """
        try:
            manifest = read_record(folder / MANIFEST, "remove that checkpoint")
            parts = [manifest.get(name) for name in ("identity", "extra", "files")]
            state = json.loads(read_bytes(folder / STATE, MOST_STATE))  # leniently: a gradient's norm may be NaN
            step = int(folder.name.removeprefix("step-"))
            if not isinstance(state, dict):
                return None
            told = [manifest.get("step"), state.get("global_step")]
            if told != [step, step] or not all(type(each) is int for each in told):
                return None
            if not all(isinstance(part, dict) for part in parts):
                return None
            files = manifest["files"]
            if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
                return None  # elsewhere nothing is read, however long it is
            is_whole = all(_digest(folder / name) == digest for name, digest in files.items())
            is_enough = all(any(name.startswith(part) for name in files) for part in NEEDED)
            return manifest if is_whole and is_enough else None
        except (OSError, ValueError, RecursionError) as error:
            check_damage(error)
            return None


def _check_alone(folder: Path, files: Collection[str]) -> None:
    """Raise if a checkpoint holds more than its manifest lists, or than a run writes.

    The trainer would read weights of the whole model, and adapters in folders, in place of the run's own.
    """
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        is_hidden = path.is_file() and path.name.startswith(".") and not _shards_in([name])
        is_listed = name in (MANIFEST, *files) or is_hidden or path.is_dir()
        whole = name.lower() in WHOLE_WEIGHTS  # some file systems take Model.safetensors for it
        is_another = whole or (path.parent != folder and path.name.lower().startswith("adapter_"))
        if path.is_symlink() or not is_listed or is_another:
            raise QweftError(f"checkpoint {folder} holds {shown(name)}, which its run did not write; move it away")


def _shards_in(files: Iterable[str]) -> list[str]:
    return [name for name in files if name.lower().endswith(SHARDED)]


def _check_own_shards(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise if a checkpoint holds FSDP's shards that this user did not write: as pickles they could run code."""
    shard = next(iter(_shards_in(manifest["files"])), None)
    if shard is not None and not is_own(manifest, "files"):
        raise QweftError(
            f"checkpoint {folder} holds {shown(shard)}, which PyTorch unpickles, and no mark that this version wrote "
            "it for you; go on where it was written (with its QWEFT_CACHE), or move the checkpoint away"
        )


def _different(theirs: Any, ours: Any, name: str = "") -> str:
    """Describe the first key in which two records differ, with both values; empty if they are equal."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            found = _different(theirs.get(key), ours.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return ""
    return "" if theirs == ours else f"{cut(name)} was {cut(repr(theirs))} there and is {cut(repr(ours))} now"


def _digest(path: Path) -> str:
    check_regular(path)  # a pipe would block
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Flush a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if path.is_file():  # some file systems cannot fsync a folder
            raise
    finally:
        os.close(descriptor)
