"""Checkpointing and validation callbacks."""

import filecmp
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import index
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
from safetensors import SafetensorError
from torch.distributed.tensor.experimental import implicit_replication
from transformers import TrainerCallback

from qweft.adapter.folder import read_header
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.evaluation.loss import held_out_loss
from qweft.evaluation.record import tell
from qweft.files import folder_beside, settle, write_bytes
from qweft.method.saved import WEIGHTS, check_folder, keys_in
from qweft.text import shown
from qweft.training.checkpoints import Checkpoints, Found
from qweft.training.config import TrainingConfig
from qweft.training.distributed import is_first_process, of_the_first, whole_state
from qweft.training.starts import off_plain_weights, save_on_plain_weights

BEST_THEN = "best.safetensors"
"""Weights, in a checkpoint, of the best adapter so far: the folder of the best one may hold a later one's by a stop."""


Shapes = dict[str, tuple[int, ...]]


def _shapes(file: Path, model: Any) -> tuple[Shapes, Shapes]:
    """Return the shapes of the tensors in a file of weights, and of those of the model's adapter, by name.

    Raises:
        QweftError: The file cannot be read.
    """
    header, trained = read_header(file), get_peft_model_state_dict(model, model.state_dict())
    found = {name: tuple(each.shape) for name, each in off_plain_weights(model, header).items()}
    return found, {name: tuple(each.shape) for name, each in trained.items()}


def _check_same(file: Path, found: Shapes, wanted: Shapes) -> None:
    """Raise a `QweftError` for the first tensor of which a file of weights and the model's adapter differ."""
    for name in sorted({*found, *wanted}):
        if found.get(name) != wanted.get(name):
            there, here = (list(each[name]) if name in each else "not there" for each in (found, wanted))
            raise QweftError(f"{file}: {shown(name)} is {there}, and in the adapter that is trained {here}")


def check_no_more(checkpoint: Path, model: Any) -> None:
    """Check that a checkpoint holds no tensors beside those of the model's adapter: they would replace base weights.

    What the adapter's own tensors must be is left to PEFT, which loads them. FSDP's checkpoints may have no such file.

    Raises:
        QweftError: Its file has another tensor, or cannot be read.
    """
    file = checkpoint / WEIGHTS
    if not file.is_file():
        return
    try:
        found, wanted = _shapes(file, model)
        _check_same(file, {name: shape for name, shape in found.items() if name not in wanted}, {})
    except QweftError as error:
        raise QweftError(
            f"the run cannot go on from {checkpoint} ({error}); remove that folder, and it goes on from the checkpoint "
            "before"
        ) from error


class Validation(TrainerCallback):
    """Computes the validation loss every few steps, saves the best adapter and stops early.

    The attribute `log` receives {"validation_loss": ...}; `RunCallbacks.callbacks` sets it to the trainer's.

    Args:
        every: Optimizer steps between validations; the last step is always validated.
        patience: Stop after this many validations without a lower loss; `None` never stops early.
        rows: The validation rows.
        pad_token_id: Token that pads shorter rows of a batch.
        batch_size: Rows per batch.
        folder: Folder of the best adapter so far.
    """

    def __init__(
        self,
        every: int,
        patience: int | None,
        rows: Sequence[Encoded],
        pad_token_id: int,
        batch_size: int,
        folder: Path,
    ) -> None:
        self.every = every
        self.patience = patience
        self.folder = folder
        self.log: Callable[[dict[str, float]], None] = lambda logs: None
        self.best_step: int | None = None
        self.best_loss = math.inf
        self.waited = 0
        self.curve: list[tuple[int, float]] = []
        self._judge = lambda model: held_out_loss(model, rows, pad_token_id, batch_size).loss

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint stores, as JSON can hold it."""
        return {
            "best_step": self.best_step, "best_loss": self.best_loss if self.best_step is not None else None,
            "waited": self.waited, "curve": self.curve,
        }  # fmt: skip

    def restore(self, extra: Mapping[str, Any]) -> None:
        """Restore what `state` returned, from a checkpoint that a stranger may have made.

        Args:
            extra: What the checkpoint stores beside the trainer's state.

        Raises:
            QweftError: If it stores no such state, or the best adapter, which is needed at the end, cannot be read.
        """
        way = f"remove the checkpoints beside {self.folder} to train anew"
        try:
            state = extra["validation"]
            self.curve = [(index(step), math.nan if loss is None else float(loss)) for step, loss in state["curve"]]
            self.waited = index(state["waited"])
            self.best_loss = math.inf if state["best_loss"] is None else float(state["best_loss"])
            self.best_step = None if state["best_step"] is None else index(state["best_step"])
            if self.best_step not in (None, *dict(self.curve)):
                raise ValueError(f"its best_step is {self.best_step}")
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            said = str(error)[:200]
            raise QweftError(f"the checkpoint's state of the validation is damaged ({said}); {way}") from error
        if self.best_step is not None:
            try:
                settle(self.folder)
                check_folder(self.folder)
                keys_in(self.folder)
            except (QweftError, OSError) as error:
                raise QweftError(f"the best adapter so far cannot be read ({error}); put it back, or {way}") from error

    def check_best(self, model: Any) -> None:
        """Check that the best adapter so far is one for this model: it may have been replaced since the checkpoint.

        Raises:
            QweftError: It cannot be read, or has other tensors than the model's adapter.
        """
        if self.best_step is None:
            return
        try:
            self._check_tensors(model)
        except QweftError as error:
            raise QweftError(
                f"the best adapter so far is not that of this run ({error}); put it back, or remove the checkpoints "
                f"beside {self.folder} to train anew"
            ) from error

    def _check_tensors(self, model: Any) -> None:
        """Raise a `QweftError` unless the best adapter's file holds the tensors of the model's adapter."""
        check_folder(self.folder)
        found, wanted = _shapes(self.folder / WEIGHTS, model)
        _check_same(self.folder / WEIGHTS, found, wanted)

    def keep_best(self, checkpoint: Path) -> None:
        """Copy the weights of the best adapter so far into a checkpoint, for `put_best_back`."""
        if self.best_step is not None:
            with suppress(FileNotFoundError):  # someone has removed it: that costs the best adapter, and no checkpoint
                shutil.copyfile(self.folder / WEIGHTS, checkpoint / BEST_THEN)

    def put_best_back(self, checkpoint: Path) -> None:
        """Put the best adapter's weights back that a checkpoint has, where a later step replaced them before a stop.

        Checkpoints of earlier versions have none. Call it after `restore` and `check_best`.
        """
        kept, now = checkpoint / BEST_THEN, self.folder / WEIGHTS
        if self.best_step is None or not is_first_process() or not kept.is_file() or kept.is_symlink():
            return
        if not filecmp.cmp(kept, now, shallow=False):
            write_bytes(now, kept.read_bytes())

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
        loss = of_the_first(self._judge(model), model.device)
        self.curve.append((step, loss))
        wanted = control.should_log
        self.log({"validation_loss": loss})
        control.should_log = wanted  # logging clears the flag, and the step's training loss must still be logged
        if loss < self.best_loss:  # False for NaN
            self.waited = 0
            whole = whole_state(model)
            written = not state.is_world_process_zero or self._is_written(model, whole, step)
            if of_the_first(float(written), model.device):
                self.best_step, self.best_loss = step, loss
            return
        self.waited += 1
        control.should_training_stop = control.should_training_stop or self.is_over
        control.should_log = control.should_log or self.is_over

    def _is_written(self, model: Any, whole: dict[str, Any], step: int) -> bool:
        """Save the adapter; where that fails say so and return `False`: the run goes on, as without a checkpoint."""
        try:
            with folder_beside(self.folder) as temporary:
                model.save_pretrained(temporary, **whole)
                save_on_plain_weights(model, temporary)  # a run that is stopped leaves it as an adapter
        except (OSError, SafetensorError) as error:  # a full disk raises either
            before = "the last one" if self.best_step is None else f"that of step {self.best_step}, or a later one,"
            tell(
                f"warning: the adapter of step {step}, the best so far, could not be written to {self.folder} "
                f"({(str(error).splitlines() or [''])[0][:200]}); the run goes on, and {before} will be its adapter"
            )
            return False
        return True

    def bring_back(self, model: Any) -> None:
        """Load the best adapter's weights into the model, unless they are the last ones.

        Where its files are gone or damaged, the last weights stay, there is no best step, and the terminal says so.
        """
        if self.best_step is None or self.curve[-1][0] == self.best_step:
            return
        try:
            self._check_tensors(model)
            found, fault = load_peft_weights(str(self.folder), device="cpu"), None
        except (QweftError, OSError, SafetensorError) as error:
            found, fault = {}, error
        if of_the_first(float(fault is not None), model.device):
            said = "" if fault is None else f" ({(str(fault).splitlines() or [''])[0][:200]})"
            if is_first_process():
                tell(
                    f"warning: the best adapter, of step {self.best_step}, can no longer be read{said}; the run's "
                    f"adapter is the last one, of step {self.curve[-1][0]}"
                )
            self.best_step = None
            return
        if fault is not None:  # the first process has read it
            raise QweftError(f"the best adapter cannot be read in every process ({fault}); see to {self.folder}")
        with implicit_replication():  # full tensors, equal in all processes, are copied into sharded ones
            set_peft_model_state_dict(model, off_plain_weights(model, found))


class Spared(TrainerCallback):
    """A reporting callback whose disk may be full: it is told once, and reports no more.

    Args:
        report: The callback.
    """

    def __init__(self, report: TrainerCallback):
        self._report: TrainerCallback | None = report

    def __getattribute__(self, name: str) -> Any:
        return partial(self._pass_on, name) if name.startswith("on_") else object.__getattribute__(self, name)

    def _pass_on(self, name: str, *given: Any, **named: Any) -> Any:
        if self._report is None:
            return None
        try:
            return getattr(self._report, name)(*given, **named)
        except OSError as error:
            print(f"qweft: {type(self._report).__name__} reports no more ({error.strerror or error})", file=sys.stderr)
            self._report = None


def spare_reports(trainer: Any) -> None:
    """Let no reporting callback of transformers end a training by a full disk."""
    every = trainer.callback_handler.callbacks
    every[:] = [
        Spared(each) if type(each).__module__.startswith("transformers.integrations") else each for each in every
    ]


@dataclass(frozen=True)
class RunCallbacks:
    """Checkpointing, validation and reporting of a run.

    Args:
        checkpoints: The run's checkpoints; `None` writes none.
        checkpoint_steps: Optimizer steps between checkpoints.
        found: The checkpoint to resume from.
        validation: Validation during training.
        report_to: As in `transformers.TrainingArguments`.
        begin: Called when all is checked, before the first step.
    """

    checkpoints: Checkpoints | None = None
    checkpoint_steps: int | None = None
    found: Found | None = None
    validation: Validation | None = None
    report_to: Sequence[str] = ()
    begin: Callable[[], None] = lambda: None

    @property
    def staging(self) -> str | None:
        """Folder in which the trainer writes its checkpoints; `None` without checkpoints."""
        return None if self.checkpoints is None else str(self.checkpoints.staging)

    def left_of(self, training: TrainingConfig) -> TrainingConfig:
        """Return the training with the steps that it has: none after a checkpoint at which patience had run out."""
        if self.found is None or self.validation is None:
            return training
        self.validation.restore(self.found.extra)
        return replace(training, max_steps=self.found.step) if self.validation.is_over else training

    def callbacks(self, trainer: Any) -> list[TrainerCallback]:
        """Return the callbacks to add to the trainer, restored from the checkpoint if the run resumes."""
        spare_reports(trainer)
        if self.found is not None:
            check_no_more(self.found.folder, trainer.model)
        if self.validation is None:
            return []
        self.validation.log = trainer.log
        if self.found is not None:
            self.validation.restore(self.found.extra)
            self.validation.check_best(trainer.model)
        return [self.validation]


ALONE = RunCallbacks()
"""No checkpoints, validation or reports."""
