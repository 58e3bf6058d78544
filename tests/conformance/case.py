"""One cell of the table: a feature tried with one method on one family of base models."""

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig, get_peft_model
from torch import nn

from tests.conformance.families import Family
from tests.conformance.methods import has_circuit, make_config


class NotApplicable(Exception):  # noqa: N818  it is no error
    """The feature does not exist for this family or method; the message says why, in a few words."""


@dataclass(frozen=True)
class Refused:
    """The method cannot do it and says so to the user.

    Args:
        why: What the user is told, shortened to one sentence for the table.
    """

    why: str


@dataclass(frozen=True)
class Case:
    """What a feature's check has to work with.

    Args:
        family: The base model's family.
        method: A name of `METHODS`.
        dtype: The base model's, and so the adapter's.
    """

    family: Family
    method: str
    dtype: torch.dtype = torch.float32

    @property
    def has_circuit(self) -> bool:
        """Whether the method's branch depends on its input."""
        return has_circuit(self.method)

    def config(self, **changes: Any) -> PeftConfig:
        """A config for the family's targets; the branch starts at zero unless `init_weights=False`."""
        return make_config(
            self.method, **{"target_modules": self.family.targets, "task_type": self.family.task, **changes}
        )

    def base(self) -> nn.Module:
        """The base model, always the same."""
        return self.family.make().to(self.dtype)

    def inputs(self) -> dict[str, torch.Tensor]:
        """The family's batch, its real numbers in the model's type."""
        return {key: x.to(self.dtype) if x.is_floating_point() else x for key, x in self.family.inputs().items()}

    def adapted(self, name: str = "default", seed: int = 1, **changes: Any) -> Any:
        """The base model with an adapter whose branch is not zero, in evaluation mode."""
        torch.manual_seed(seed)
        changes = {"init_weights": False, **changes}
        return get_peft_model(self.base(), self.config(**changes), adapter_name=name).eval()

    def output(self, model: nn.Module, **kwargs: Any) -> torch.Tensor:
        """The model's main output for the family's batch, without gradients."""
        with torch.no_grad():
            return main_tensor(model(**self.inputs(), **kwargs))

    def loss(self, model: nn.Module) -> torch.Tensor:
        """A loss with gradients: the model's own, or the distance of its output from a wave where it has none."""
        if self.family.labels is not None:
            return model(**self.inputs(), labels=self.family.labels()).loss
        output = main_tensor(model(**self.inputs()))
        # not the mean square, which a last layer normalisation holds fixed
        return (output - torch.arange(output.numel()).view_as(output).sin()).square().mean()


def main_tensor(output: Any) -> torch.Tensor:
    """The logits, or the last hidden state, or the output itself."""
    if isinstance(output, torch.Tensor):
        return output
    logits = getattr(output, "logits", None)
    return output.last_hidden_state if logits is None else logits


def trained(case: Case, model: Any, steps: int = 2) -> Any:
    """A few steps of plain training."""
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        case.loss(model).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()
