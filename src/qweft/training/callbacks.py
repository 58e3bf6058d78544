"""Checkpointing and validation callbacks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import load_peft_weights, set_peft_model_state_dict
from torch.distributed.tensor.experimental import implicit_replication
from transformers import TrainerCallback

from qweft.data.tokens import Encoded
from qweft.evaluation.loss import held_out_loss
from qweft.files import folder_beside
from qweft.training.checkpoints import Checkpoints, Found
from qweft.training.distributed import of_the_first, whole_state


class Validation(TrainerCallback):
    """Takes the loss on the validation rows every so many steps.

    Args:
        every: Steps.
        patience: Validations without a better loss after which the run ends; none trains to its end.
        rows: The validation rows.
        pad_token_id: Fills rows of a batch.
        batch_size: Rows at a time.
        folder: Where the best adapter so far is kept.
        log: Gets {"validation_loss": ...}.
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
        """What a checkpoint keeps of it."""
        return {
            "best_step": self.best_step, "best_loss": self.best_loss if self.best_step is not None else None,
            "waited": self.waited, "curve": self.curve,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.best_step = state["best_step"]
        self.best_loss = math.inf if state["best_loss"] is None else state["best_loss"]
        self.waited = state["waited"]
        self.curve = [(step, loss) for step, loss in state["curve"]]

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Judge, keep, and say when it is enough."""
        step = state.global_step
        if step % self.every and step != state.max_steps:
            return
        loss = of_the_first(self._judge(model), model.device)
        self.curve.append((step, loss))
        wanted = control.should_log
        self.log({"validation_loss": loss})
        control.should_log = wanted  # which logging takes back: the step's own loss is to be logged, too
        if loss < self.best_loss:  # never where it is not a number
            self.best_step, self.best_loss, self.waited = step, loss, 0
            whole = whole_state(model)
            if state.is_world_process_zero:
                with folder_beside(self.folder) as beside:
                    model.save_pretrained(beside, **whole)
            return
        self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            control.should_training_stop = True

    def bring_back(self, model: Any) -> None:
        """Put the best weights into the model, where they are not the last ones."""
        if self.best_step is not None and self.curve[-1][0] != self.best_step:
            with implicit_replication():  # whole tensors, alike in all processes, go into those that are spread
                set_peft_model_state_dict(model, load_peft_weights(str(self.folder), device="cpu"))


@dataclass(frozen=True)
class RunCallbacks:
    """Checkpoints, validation, and curves elsewhere.

    Args:
        checkpoints: Where checkpoints are kept; none keeps none.
        checkpoint_steps: Steps from one to the next.
        found: The checkpoint to go on from.
        validation: The judging while it trains.
        report_to: As transformers' trainer takes it.
    """

    checkpoints: Checkpoints | None = None
    checkpoint_steps: int | None = None
    found: Found | None = None
    validation: Validation | None = None
    report_to: Sequence[str] = ()

    @property
    def staging(self) -> str | None:
        """Where the trainer writes its checkpoints."""
        return None if self.checkpoints is None else str(self.checkpoints.staging)

    def callbacks(self, trainer: Any) -> list[TrainerCallback]:
        """What the trainer is to call."""
        if self.validation is None:
            return []
        self.validation.log = trainer.log
        if self.found is not None:
            self.validation.restore(self.found.extra["validation"])
        return [self.validation]


ALONE = RunCallbacks()
"""Nothing beside the steps."""
