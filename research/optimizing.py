"""What a candidate asks of the optimizer, part by part: weight decay, and a rate that does not fall."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

from qweft.training.callbacks import RunCallbacks


class Parts(TrainerCallback):
    """Sets what the groups of the optimizer have, which are split by part.

    Args:
        decay: AdamW's weight decay by part; none means 0.
        constant: Parts whose rate stays where the warm-up took it.
    """

    def __init__(self, decay: Mapping[str, float], constant: tuple[str, ...]):
        self.decay, self.constant = decay, constant

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        for group in given["optimizer"].param_groups:
            group["weight_decay"] = self.decay.get(group["part"], 0.0)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        warm = args.get_warmup_steps(state.max_steps)
        for group in given["optimizer"].param_groups:
            if group["part"] in self.constant and state.global_step >= warm:
                group["lr"] = group["initial_lr"]


@dataclass(frozen=True)
class Optimizing(RunCallbacks):
    """A run with these beside it."""

    parts: Parts | None = None

    def callbacks(self, trainer: Any) -> list[TrainerCallback]:
        return [*super().callbacks(trainer), *([self.parts] if self.parts else [])]
