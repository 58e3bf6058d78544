"""Checkpoints of a run, validation during training, and what a run adds to the trainer."""

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from peft import set_peft_model_state_dict
from safetensors.torch import load_file
from torch.distributed.tensor.experimental import implicit_replication
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState, TrainerState

from qweft.core.errors import QweftError
from qweft.core.files import folder_beside, remove
from qweft.core.records import is_own, read_record, write_record
from qweft.core.text import shorten
from qweft.method.saved import WEIGHTS
from qweft.training.distributed import is_first_process, of_the_first, whole_state

IDENTITY = "identity.json"
"""File in the folder of checkpoints: everything that determines the result of the run that wrote them."""
COMPLETE = "complete"
"""Last file of a checkpoint: a folder without it was left half written by a kill."""
STATE = "trainer_state.json"
BEST_WEIGHTS = "best.safetensors"
"""Weights, in a checkpoint, of the best adapter so far: later steps replace those in the run's folder."""


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
            raise QweftError(f"{self.folder} holds checkpoints of another run: {difference}; choose another --output")
        for checkpoint in reversed(folders_in(self.folder)):
            if (checkpoint / COMPLETE).is_file():
                if any(checkpoint.rglob("*.distcp")) and not is_own(record, "run"):
                    raise QweftError(
                        f"checkpoint {checkpoint} holds shards that PyTorch unpickles, of another user; move it away"
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
    return (
        "" if theirs == ours else f"{shorten(name)} was {shorten(repr(theirs))} there and is {shorten(repr(ours))} now"
    )


class Validation(TrainerCallback, ExportableState):
    """Computes the validation loss every few steps, saves the best adapter and stops early."""

    def __init__(self, every: int, patience: int | None, folder: Path, judge: Callable[[Any], float]) -> None:
        self.every = every
        self.patience = patience
        self.folder = folder
        self.judge = judge
        self.log: Callable[[dict[str, float]], None] = lambda logs: None
        self.best_step: int | None = None
        self.best_loss = math.inf
        self.waited = 0
        self.curve: list[tuple[int, float]] = []

    def state(self) -> dict[str, Any]:
        """Return what the trainer stores in a checkpoint."""
        names = ("best_step", "best_loss", "waited", "curve")
        return {"args": {}, "attributes": {name: getattr(self, name) for name in names}}

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Validate, save the adapter if it is the best so far, and stop when patience runs out."""
        step = state.global_step
        # the trainer makes a step before it looks whether any is left, and it changes nothing or is taken back
        if self.is_over or step > state.max_steps:
            control.should_training_stop = True
            return
        if step % self.every and step != state.max_steps:
            return
        loss = of_the_first(self.judge(model), model.device)
        self.curve.append((step, loss))
        logs_step = control.should_log
        self.log({"validation_loss": loss})
        control.should_log = logs_step  # logging clears the flag, and the step's training loss must still be logged
        if loss < self.best_loss:  # False for NaN
            self.best_step, self.best_loss, self.waited = step, loss, 0
            whole = whole_state(model)
            if state.is_world_process_zero:
                with folder_beside(self.folder) as temporary:
                    model.save_pretrained(temporary, **whole)
            return
        self.waited += 1
        control.should_training_stop = control.should_training_stop or self.is_over
        control.should_log = control.should_log or self.is_over

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Copy the best weights into the checkpoint."""
        if self.best_step is not None and state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            shutil.copyfile(self.folder / WEIGHTS, checkpoint / BEST_WEIGHTS)

    def begin(self, log: Callable[[dict[str, float]], None], checkpoint: Path | None) -> None:
        """Put the best weights of a checkpoint back, since a later step may have replaced them before a stop."""
        self.log = log
        if checkpoint is not None and self.best_step is not None and is_first_process():
            self.folder.mkdir(exist_ok=True)
            shutil.copyfile(checkpoint / BEST_WEIGHTS, self.folder / WEIGHTS)

    def bring_back(self, model: Any) -> None:
        """Load the best adapter's weights into the model, unless they are the last ones."""
        if self.best_step is None or self.curve[-1][0] == self.best_step:
            return
        with implicit_replication():  # full tensors, equal in all processes, are copied into sharded ones
            set_peft_model_state_dict(model, load_file(self.folder / WEIGHTS))


@dataclass(frozen=True)
class RunCallbacks:
    """Checkpointing, validation and reporting of a run."""

    checkpoints: Checkpoints | None = None
    every: int | None = None
    resume_from: Path | None = None
    validation: Validation | None = None
    report_to: Sequence[str] = ()
    begin: Callable[[], None] = lambda: None

    def restored(self, *callbacks: Any) -> TrainerState | None:
        """Give callbacks the state that they have in the checkpoint to resume from, and return the trainer's."""
        if self.resume_from is None:
            return None
        state = TrainerState.load_from_json(str(self.resume_from / STATE))
        for each in callbacks:
            stored = state.stateful_callbacks.get(type(each).__name__, {"attributes": {}})
            vars(each).update(stored["attributes"])
        return state


ALONE = RunCallbacks()
"""No checkpoints, validation or reports."""
