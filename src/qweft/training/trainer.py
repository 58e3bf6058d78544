"""A `Trainer` with an evaluation's loss, and learning rates and gradient norms by part."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import Trainer

from qweft.adapter.branch import parts_of
from qweft.errors import QweftError
from qweft.evaluation.loss import target_loss
from qweft.method.names import OTHER, RATED
from qweft.training.gradients import GradientWatch


def split_by_part(optimizer: torch.optim.Optimizer, model: Any, rates: Mapping[str, float]) -> None:
    """Split the optimizer's parameter groups by part and set each part's learning rate."""
    check_rates(model, rates)
    parts = parts_of(model)
    groups = []
    for group in optimizer.param_groups:
        for part in RATED:
            members = [parameter for parameter in group["params"] if parts.get(id(parameter), OTHER) == part]
            if members:
                rate = rates.get(part, group["lr"])
                groups.append({**group, "params": members, "lr": rate, "part": part})
    optimizer.param_groups[:] = groups


def check_rates(model: torch.nn.Module, rates: Mapping[str, float]) -> None:
    """Check that the model trains each part that has a rate of its own."""
    parts = parts_of(model)
    there = {parts.get(id(parameter), OTHER) for parameter in model.parameters() if parameter.requires_grad}
    missing = [part for part in rates if part not in there]
    if missing:
        trained = ", ".join(part for part in RATED if part in there)
        raise QweftError(
            f"training.learning_rates.{missing[0]}: the adapter trains no such part; it trains {trained}; leave it out"
        )


ADD_TO_LOSS = ("ADALORA", "CPT", "SHADOW")
"""Methods of PEFT that add a term to the model's own loss, or weigh its targets."""


class RunTrainer(Trainer):
    """A `Trainer` with an evaluation's loss, and learning rates and gradient norms by part."""

    def __init__(self, rates: Mapping[str, float], watch: GradientWatch, **kwargs: Any) -> None:
        self._rates = rates
        self._watch = watch
        method = getattr(kwargs["model"], "peft_type", None)
        super().__init__(**kwargs, compute_loss_func=None if method in ADD_TO_LOSS else target_loss)
        if method == "CPT":  # its loss is each batch's own mean, and the trainer has to average the batches
            self.model_accepts_loss_kwargs = False

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the trainer's optimizer, and split its groups by part if there are per-part rates."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self._rates:
            split_by_part(optimizer, self.model if model is None else model, self._rates)
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add gradient norms and learning rates by part to the log.

        No name continues that of the whole, of which DVCLive makes a file.
        """
        if "grad_norm" in logs and self._watch.step == self.state.global_step:
            norms = self._watch.scaled(float(logs["grad_norm"]))
            if len(norms) > 1:
                logs |= {f"grad_norm_of/{part}": norm for part, norm in norms.items()}
            if self._rates and self.optimizer is not None:
                groups = {group["part"]: group["lr"] for group in self.optimizer.param_groups}
                logs |= {f"learning_rate_of/{part}": float(rate) for part, rate in groups.items()}
        super().log(logs, start_time)
