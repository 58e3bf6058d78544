"""Saving checkpoints in transformers' trainer. Checked with transformers 5.23.

It has a module of its own, since importing the trainer takes seconds, which an adapter need not wait for.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from transformers import Trainer


class SavingTrainer(Trainer):
    """A trainer whose subclasses decide how a checkpoint is saved.

    No event comes before a checkpoint, and after one a failure is not known, so callbacks do not serve.
    """

    def save_checkpoint(self, save: Callable[[], object]) -> None:
        """Save a checkpoint; `save` does what transformers does."""
        save()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.save_checkpoint(partial(super()._save_checkpoint, model, trial))
