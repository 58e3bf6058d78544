"""Attach and detach the adapter of a method: this package's, PEFT's, or another package's."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from qweft.adapter.attach import adapter_config, attach, detach
from qweft.comparison.checks import check_comparable, with_steps
from qweft.comparison.rivals import attach_rival, rival_of


def put_on(model: nn.Module, specification: Mapping[str, Any], steps: int | None) -> Any:
    """Attaches an adapter to the model, so that only the adapter is trainable.

    Args:
        model: The base model.
        specification: As in a method of a comparison.
        steps: Optimizer steps of the training; `None` if it is not trained.

    Raises:
        QweftError: If the adapter is refused, by a comparison or by its package.
    """
    if "rival" in specification:
        return attach_rival(model, specification)
    config = adapter_config(with_steps(specification, steps))
    check_comparable(specification)
    return attach(model, config)


def take_off(adapted: Any, specification: Mapping[str, Any]) -> Any:
    """Detaches the adapter and returns the base model."""
    return rival_of(specification).detach(adapted) if "rival" in specification else detach(adapted)


def trained(adapted: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the trainable parameters by name."""
    # AdaLoRA's rank counter requires gradients on the meta device, and only there
    return {name: p for name, p in adapted.named_parameters() if p.requires_grad and ".ranknum." not in name}
