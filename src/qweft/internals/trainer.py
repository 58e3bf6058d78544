"""Saving checkpoints in transformers' trainer. Checked with transformers 5.23.

It is a module of its own because importing the trainer takes seconds, and an adapter does not need it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from transformers import Trainer


class SavingTrainer(Trainer):
    """A trainer whose subclasses decide how a checkpoint is saved.

    Callbacks do not suffice: no event precedes a checkpoint, and the event after it does not report a failure.
    """

    def save_checkpoint(self, save: Callable[[], object]) -> None:
        """Save a checkpoint.

        Args:
            save: Saves it as transformers does.
        """
        save()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.save_checkpoint(partial(super()._save_checkpoint, model, trial))
