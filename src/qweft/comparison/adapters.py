"""Attach and detach the adapter of a method: this package's or PEFT's."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from qweft.adapter.attach import adapter_config, attach
from qweft.comparison.checks import check_comparable, with_steps
from qweft.errors import QweftError
from qweft.method.specification import method_of


def put_on(model: nn.Module, specification: Mapping[str, Any], steps: int | None) -> Any:
    """Attach an adapter to the model, so that only the adapter is trainable."""
    config: Any = adapter_config(with_steps(specification, steps))
    check_comparable(specification)
    if steps is None and method_of(specification) == "SHIRA":
        config.mask_fn = None  # it reads weights, and a count, which the sizes tell, has shapes alone
    try:
        return attach(model, config)
    except (AttributeError, IndexError) as error:
        raise QweftError(f"the adapter cannot be put on this model: {error}; correct its fields") from error


def trained(adapted: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name."""
    # AdaLoRA's rank counter requires gradients on the meta device, and only there
    return {name: p for name, p in adapted.named_parameters() if p.requires_grad and ".ranknum." not in name}
