"""The config of a given number of trained parameters."""

from bisect import bisect_right
from collections import Counter
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any, TypeVar

import torch
from peft import get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from qweft.adapter.branch import count_parameters
from qweft.core.errors import QweftError
from qweft.core.text import short_repr
from qweft.method.fields import QwthnFields

Config = TypeVar("Config", bound=QwthnFields)
PARTS = 2**40
"""Parts of the range of shares, finer than one output of any layer."""


def largest_share(model: Any, numbers: int, config: Config) -> Config:
    """Return a config of sparse maps with the largest share of outputs, up to its own, that a budget allows."""
    if not isinstance(model, nn.Module) or any(isinstance(each, BaseTunerLayer) for each in model.modules()):
        raise QweftError(f"for_budget counts on a loaded model without adapters, got {short_repr(model)}")
    if config.expand != "sparse":
        raise QweftError(f"a budget sets the share of a sparse map, and expand is {config.expand!r}; leave it out")
    without_numbers: dict[int, Any] = {
        id(tensor): nn.Parameter(torch.empty_like(tensor, device="meta"), requires_grad=False)
        for tensor in model.parameters()
    }
    of_copy: Any = copy(config)  # PEFT writes to it
    adapted: Any = get_peft_model(deepcopy(model, without_numbers), of_copy)
    layers: list[Any] = [layer for layer in adapted.modules() if isinstance(layer, BaseTunerLayer)]
    sizes = Counter((layer.in_features, layer.out_features, layer.qwthn_r["default"]) for layer in layers)

    def count(share: float) -> int:
        at = replace(config, share=share)
        return sum(many * sum(count_parameters(at, *size).values()) for size, many in sizes.items())

    beside: int = adapted.get_nb_trainable_parameters()[0] - count(config.share)  # biases, tokens and heads
    if numbers < (least := beside + count(1e-9)):
        raise QweftError(
            f"a budget of {numbers:,} trained parameters is below the {least:,} that one output of each of the "
            f"{sizes.total()} layers takes; give more, or name fewer layers by target_modules"
        )
    parts = bisect_right(range(1, PARTS + 1), numbers - beside, key=lambda part: count(config.share * part / PARTS))
    return replace(config, share=config.share * parts / PARTS)
