"""A run's checkpoints: the trainer's own folders, beside the identity of their run."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from qweft.errors import QweftError
from qweft.files import remove
from qweft.records import is_own, read_record, write_record
from qweft.text import cut
from qweft.training.distributed import is_first_process

IDENTITY = "identity.json"
"""File in the folder of checkpoints: everything that determines the result of the run that wrote them."""
COMPLETE = "complete"
"""Last file of a checkpoint: a folder without it was left half written by a kill."""
STATE = "trainer_state.json"


def folders_in(folder: Path) -> list[Path]:
    """Return the trainer's checkpoints in the order of their steps."""
    return sorted(folder.glob("checkpoint-*"), key=step_of) if (folder / IDENTITY).is_file() else []


def newest_step(folder: Path) -> int | None:
    """Return the step of the newest complete checkpoint; `None` without any."""
    return max((step_of(path) for path in folders_in(folder) if (path / COMPLETE).is_file()), default=None)


def step_of(checkpoint: Path) -> int:
    """Return the number of optimizer steps before a checkpoint."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def remove_empty(folder: Path) -> None:
    """Remove the folder of a run that wrote no checkpoint."""
    if (folder / IDENTITY).is_file() and not folders_in(folder):
        remove(folder)


class Checkpoints(TrainerCallback):
    """The checkpoints of one run; as a callback it completes each one that the trainer saves."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], newest: int = 2) -> None:
        self.folder = folder
        self.newest = newest
        self.identity = json.loads(json.dumps(identity))

    def find(self, tell: Callable[[str], None] = print) -> Path | None:
        """Return the newest complete checkpoint of this run, or `None`; incomplete ones are removed."""
        if not (self.folder / IDENTITY).is_file():
            return None
        record = read_record(self.folder / IDENTITY, "remove the checkpoints to train anew")
        if difference := _difference(record.get("run"), self.identity):
            raise QweftError(
                f"{self.folder} holds checkpoints of another run: {difference}; choose another --output, or remove "
                "that folder"
            )
        for checkpoint in reversed(folders_in(self.folder)):
            if (checkpoint / COMPLETE).is_file():
                if any(checkpoint.rglob("*.distcp")) and not is_own(record, "run"):
                    raise QweftError(
                        f"checkpoint {checkpoint} holds shards that PyTorch unpickles, and no mark that you wrote it; "
                        "go on where it was written (with its QWEFT_CACHE), or move it away"
                    )
                return checkpoint
            tell(f"checkpoint {checkpoint} is incomplete and passed over")
            if is_first_process():
                remove(checkpoint)
        return None

    def begin(self) -> None:
        """Write whose checkpoints the folder will hold."""
        if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / IDENTITY).is_file():
            raise QweftError(f"{self.folder} holds files of something else; choose another --output, or move them away")
        write_record(self.folder / IDENTITY, {"run": self.identity}, "run")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Complete a checkpoint once every process has written its part, then remove the oldest ones."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            checkpoint = self.folder / f"checkpoint-{state.global_step}"
            (checkpoint / "training_args.bin").unlink(missing_ok=True)  # a pickle, which resuming does not read
            (checkpoint / COMPLETE).touch()
            for old in folders_in(self.folder)[: -self.newest]:
                remove(old)


def _difference(theirs: Any, ours: Any, name: str = "") -> str:
    """Describe the first key in which two records differ, with both values; empty if they are equal."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = dict.fromkeys([*ours, *theirs])
        each = (_difference(theirs.get(key), ours.get(key), f"{name}.{key}" if name else key) for key in keys)
        return next(filter(None, each), "")
    return "" if theirs == ours else f"{cut(name)} was {cut(repr(theirs))} there and is {cut(repr(ours))} now"
