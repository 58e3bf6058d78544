"""Learning rates of their own for the parts of an adapter."""

from collections.abc import Mapping
from typing import Any

import torch

from qweft.adapter.branch import OTHER, PARTS, part_of
from qweft.errors import QweftError

RATED = (*PARTS, OTHER)


def check_rates(rates: Mapping[str, float]) -> None:
    """See that each rate is of a part, and a rate.

    Raises:
        QweftError: Naming the key, the value, and what it may be.
    """
    for part, rate in rates.items():
        if part not in RATED:
            raise QweftError(f"training.learning_rates.{part}: there is no such part; there are {', '.join(RATED)}")
        if not 0 <= rate < float("inf"):
            raise QweftError(f"training.learning_rates.{part} must be a number of at least 0, got {rate}")


def split_by_part(optimizer: torch.optim.Optimizer, model: Any, rates: Mapping[str, float]) -> None:
    """Split the optimizer's groups by part, each with its rate; parts without one keep that of their group.

    To be called before a schedule is laid over the rates, and before the first step.

    Args:
        optimizer: Its groups are replaced.
        model: The model whose parameters are in it.
        rates: Peak learning rate by part.

    Raises:
        QweftError: If a rate is given for a part that the model does not train.
    """
    parts = {id(parameter): part_of(name) for name, parameter in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        for part in RATED:
            members = [parameter for parameter in group["params"] if parts.get(id(parameter), OTHER) == part]
            if members:
                rate = rates.get(part, group["lr"])
                groups.append({**group, "params": members, "lr": rate, "part": part})
    missing = [part for part in rates if part not in {group["part"] for group in groups}]
    if missing:
        trained = ", ".join(dict.fromkeys(group["part"] for group in groups))
        raise QweftError(
            f"training.learning_rates.{missing[0]}: the adapter trains no such part; it trains {trained}; leave it out"
        )
    optimizer.param_groups[:] = groups
