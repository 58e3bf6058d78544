"""The methods of a comparison, resolved and checked before the first of them is trained."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from qweft.adapter.attach import attach, detach
from qweft.adapter.checks import closest
from qweft.adapter.specification import adapter_config
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.errors import QweftError
from qweft.evaluation.checks import check_evaluation
from qweft.training.checks import check_training


@dataclass(frozen=True)
class Method:
    """A method ready to be trained.

    Args:
        name: Its name in the comparison.
        adapter: Its specification, with the rank that `match_parameters` chose.
        learning_rate: Its own, or the training section's.
        trainable_parameters: What it trains on this model.
    """

    name: str
    adapter: dict[str, Any]
    learning_rate: float
    trainable_parameters: int


def count(model: nn.Module, specification: Mapping[str, Any]) -> int:
    """Trainable parameters of an adapter on a model; the model (best on the meta device) is left as it was."""
    adapted = attach(model, adapter_config(specification))
    trainable = adapted.get_nb_trainable_parameters()[0]
    detach(adapted)
    return int(trainable)


def nearest_rank(model: nn.Module, specification: Mapping[str, Any], wanted: int) -> int:
    """The rank whose number of trainable parameters is nearest to the wanted one; the smaller of two equally near.

    The number grows with the rank, so the search doubles until it is above and then halves the interval.
    """
    low, high = 1, 1
    while count(model, {**specification, "r": high}) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(model, {**specification, "r": middle}) < wanted else (low, middle)
    distance = {rank: abs(count(model, {**specification, "r": rank}) - wanted) for rank in (low, high)}
    return min(distance, key=lambda rank: (distance[rank], rank))


def check_comparison(config: ComparisonConfig) -> None:
    """Check the sections and the seeds.

    Raises:
        QweftError: Naming the key, the value, and what it may be.
    """
    check_training(config.training)
    check_evaluation(config.evaluation, config.data)
    seeds = config.seeds
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise QweftError(f"seeds must be different whole numbers from 0 to 4294967295, at least one, got {seeds}")


def resolve_methods(config: ComparisonConfig, model: nn.Module) -> list[Method]:
    """Check every method on the model (on the meta device) and choose the ranks that are to match others.

    Raises:
        QweftError: If there is no method, a name is reserved or refers to nothing, or an adapter is refused.
    """
    if not config.methods:
        raise QweftError("methods: a comparison needs at least one method")
    if config.reference not in config.methods:
        raise QweftError(
            f"reference {config.reference!r} is not among the methods {', '.join(config.methods)}"
            f"{closest(config.reference, config.methods)}"
        )
    counts: dict[str, int] = {}
    specifications: dict[str, dict[str, Any]] = {}
    for later in (False, True):  # those that match others after the others
        for name, method in config.methods.items():
            if (method.match_parameters is not None) != later:
                continue
            _check_method(name, method, counts)
            specification = dict(method.adapter)
            try:
                if method.match_parameters is not None:
                    specification["r"] = nearest_rank(model, specification, counts[method.match_parameters])
                counts[name] = count(model, specification)
            except QweftError as error:
                matched = f" (its rank is to match {method.match_parameters})" if method.match_parameters else ""
                raise QweftError(f"methods.{name}{matched}: {error}") from error
            specifications[name] = specification
    return [
        Method(name, specifications[name], method.learning_rate or config.training.learning_rate, counts[name])
        for name, method in config.methods.items()
    ]


def _check_method(name: str, method: MethodConfig, counts: dict[str, int]) -> None:
    if name == "base" or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise QweftError(
            f"methods.{name}: a name is letters, digits, - _ and ., and not 'base', which is the base model"
        )
    if method.learning_rate is not None and not 0 < method.learning_rate < math.inf:
        raise QweftError(f"methods.{name}.learning_rate must be above 0, got {method.learning_rate}")
    if method.match_parameters is not None and method.match_parameters not in counts:
        raise QweftError(
            f"methods.{name}.match_parameters: {method.match_parameters!r} is no method with a size of its own"
            f"{closest(method.match_parameters, counts)}"
        )
