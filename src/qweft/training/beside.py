"""What a run does beside its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

from qweft.training.checkpoints import Checkpoints, Found
from qweft.training.stopping import Validation


@dataclass(frozen=True)
class Beside:
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


ALONE = Beside()
"""Nothing beside the steps."""
