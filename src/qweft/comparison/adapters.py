"""The adapter of a method on the shared base model and off again: this package's, PEFT's, or a rival's."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from qweft.adapter.attach import adapter_config, attach, detach
from qweft.comparison.refused import check_comparable
from qweft.comparison.rivals import attach_rival, rival_of
from qweft.errors import QweftError

LONG = 10**9
"""Steps of an adapter that is put on a model to be counted alone."""


def put_on(model: nn.Module, specification: Mapping[str, Any], steps: int | None) -> Any:
    """The model with the adapter on it, which trains it alone.

    Args:
        model: The base model.
        specification: As in a method of a comparison.
        steps: Optimizer steps that the adapter is trained for; none where it is not trained.

    Raises:
        QweftError: If the adapter is refused, by a comparison or by its package.
    """
    if "rival" in specification:
        return attach_rival(model, specification)
    config = adapter_config(_with_steps(specification, steps))
    check_comparable(config)
    return attach(model, config)


def take_off(adapted: Any, specification: Mapping[str, Any]) -> Any:
    """The base model without the adapter."""
    return rival_of(specification).detach(adapted) if "rival" in specification else detach(adapted)


def _with_steps(specification: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    """The specification; of AdaLoRA, whose ranks follow a schedule over the training, with the number of steps."""
    given = dict(specification)
    if str(given.get("peft_type")).upper() == "ADALORA":
        if "total_step" in given:
            raise QweftError("total_step is the number of steps of the training in a comparison; leave it out")
        given["total_step"] = steps or LONG
    return given


def trained(adapted: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    # AdaLoRA's count of ranks asks for gradients on the meta device, and only there
    return {name: p for name, p in adapted.named_parameters() if p.requires_grad and ".ranknum." not in name}
