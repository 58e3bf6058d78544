"""transformers' trainer with what a run of an adapter needs beside it."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from qweft.internals.trainer import SavingTrainer
from qweft.training.checkpoints import Checkpoints
from qweft.training.groups import split_by_part
from qweft.training.watch import GradientWatch


class RunTrainer(SavingTrainer):
    """Rates by part, norms by part in the log, checkpoints that are whole or not there.

    Args:
        rates: Peak learning rate by part; empty for one rate.
        watch: It measures the parts' gradients.
        checkpoints: Where checkpoints go; none where there are none.
        kwargs: As for transformers' trainer.
    """

    def __init__(
        self, rates: Mapping[str, float], watch: GradientWatch, checkpoints: Checkpoints | None, **kwargs: Any
    ) -> None:
        self._rates = rates
        self._watch = watch
        self._checkpoints = checkpoints
        super().__init__(**kwargs, callbacks=None)
        self.add_callback(watch)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The trainer's own, its groups split by part where parts have rates of their own."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self._rates:
            split_by_part(optimizer, self.model if model is None else model, self._rates)
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the norms by part, and their rates, too."""
        if "grad_norm" in logs:
            norms = self._watch.scaled(float(logs["grad_norm"]))
            if len(norms) > 1:
                logs |= {f"grad_norm/{part}": norm for part, norm in norms.items()}
            if self._rates and self.optimizer is not None:
                groups = {group["part"]: group["lr"] for group in self.optimizer.param_groups}
                logs |= {f"learning_rate/{part}": float(rate) for part, rate in groups.items()}
        super().log(logs, start_time)

    def save_checkpoint(self, save: Callable[[], object]) -> None:
        """Beside the others first, and renamed when all of it is on the disk.

        A disk that is full costs this checkpoint, and not the run.
        """
        if self._checkpoints is None:
            return
        kept = self._checkpoints
        failed: Exception | None = None
        try:
            if self.args.should_save:
                kept.clear_staging()
            self.accelerator.wait_for_everyone()
            save()
        except Exception as error:  # safetensors, torch and the system each have their own for a full disk
            failed = error
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            kept.keep(self.state.global_step, failed)
        self.accelerator.wait_for_everyone()
