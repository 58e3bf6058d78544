"""AdaLoRA's share of a training step: it moves ranks between layers by what their gradients say."""

from typing import Any

from transformers import TrainerCallback


class RankAllocation(TrainerCallback):
    """Calls the tuner's `update_and_allocate` after each optimizer step, while gradients are there, as PEFT asks."""

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Allocate; `state` still counts the steps before this one."""
        model.base_model.update_and_allocate(state.global_step)


def allocations(model: Any) -> list[TrainerCallback]:
    """The callback, for a model whose method asks for it."""
    return [RankAllocation()] if hasattr(getattr(model, "base_model", None), "update_and_allocate") else []
