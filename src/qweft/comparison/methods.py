"""`Method`: a method of a comparison, resolved and checked before any training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.sizes import count, matched
from qweft.errors import QweftError
from qweft.evaluation.checks import check_evaluation, check_judged_by_loss
from qweft.method.checks import closest
from qweft.text import progress
from qweft.training.checks import check_training


@dataclass(frozen=True)
class Method:
    """A method ready to be trained.

    Args:
        name: Its name in the comparison.
        adapter: Its specification, with the rank that `match_parameters` chose.
        learning_rate: Its own, or that of `rate_of`, or the training section's.
        trainable_parameters: Number of parameters that it trains on this model.
        steps: Optimizer steps that `match_time` chose; `None` means those of the training section.
        budget: What was matched, as `Run.budget`; `None` if nothing was.
        rate_of: The method whose learning rate it uses.
        searched: Whether the search chooses its learning rate.
    """

    name: str
    adapter: dict[str, Any]
    learning_rate: float
    trainable_parameters: int
    steps: int | None = None
    budget: dict[str, Any] | None = None
    rate_of: str | None = None
    searched: bool = False

    @property
    def matches_time(self) -> str | None:
        """The method whose training time it is given."""
        return (self.budget or {}).get("matches_time")


def check_comparison(config: ComparisonConfig) -> None:
    """Checks the sections, the seeds and the search.

    Raises:
        QweftError: With the key, its value, and the allowed values.
    """
    check_training(config.training)
    check_evaluation(config.evaluation, config.data)
    check_judged_by_loss(config.evaluation)
    seeds = config.seeds
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise QweftError(
            f"seeds must be different whole numbers from 0 to 4294967295, at least one, got {str(seeds)[:200]}"
        )
    if not config.rates or not all(0 < rate < math.inf for rate in config.rates):
        raise QweftError(f"rates must be learning rates above 0, at least one, got {str(config.rates)[:200]}")
    if config.search_steps is not None and config.search_steps < 1:
        raise QweftError(f"search_steps must be at least 1, got {config.search_steps}; leave it out for the training's")
    if not 1 <= config.search_seeds <= len(seeds):
        raise QweftError(
            f"search_seeds must be from 1 to the number of seeds ({len(seeds)}), got {config.search_seeds}"
        )
    if config.workers is not None and config.workers < 1:
        raise QweftError(f"workers must be at least 1, got {config.workers}")
    for key, use in (("search", "choose"), ("inspect", "measure the adapters")):
        if getattr(config, key) and config.data.validation_rows == 0:
            raise QweftError(f"{key} needs validation rows to {use} on; set data.validation_rows")
    if config.search and config.evaluation.split == "validation":
        raise QweftError(
            "search chooses the learning rates on the validation rows, so evaluation.split validation would judge the "
            "methods on the rows that they were tuned on; set evaluation.split to test, or leave search out"
        )


@progress("checking the methods")
def resolve_methods(config: ComparisonConfig, model: nn.Module) -> list[Method]:
    """Checks every method on the model (on the meta device) and chooses the ranks that match other methods.

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
    for name, method in config.methods.items():
        _check_method(name, method, config.methods)
    adapters: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for name in sorted(config.methods, key=lambda name: config.methods[name].match_parameters is not None):
        wanted = config.methods[name].match_parameters  # methods that match another come after it
        try:
            adapter = dict(config.methods[name].adapter)
            adapters[name] = adapter if wanted is None else matched(model, adapter, counts[wanted])
            counts[name] = count(model, adapters[name])
        except QweftError as error:
            to_match = f" (its rank is to match {wanted})" if wanted else ""
            raise QweftError(f"methods.{name}{to_match}: {error}") from error
    return [
        Method(
            name,
            adapters[name],
            _rate(config, method),
            counts[name],
            budget=_budget(method),
            rate_of=method.rate_of,
            searched=config.search and method.learning_rate is None and method.rate_of is None,
        )
        for name, method in config.methods.items()
    ]


def _rate(config: ComparisonConfig, method: MethodConfig) -> float:
    source = method if method.rate_of is None else config.methods[method.rate_of]
    return source.learning_rate or config.training.learning_rate


def _budget(method: MethodConfig) -> dict[str, Any] | None:
    if method.match_parameters is None and method.match_time is None:
        return None
    matched = {"matches_time": method.match_time, "matches_parameters": method.match_parameters}
    return {**matched, "step_seconds": None, "basis_seconds": None}


def _check_method(name: str, method: MethodConfig, methods: Mapping[str, MethodConfig]) -> None:
    if name == "base" or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise QweftError(
            f"methods.{name}: a name is letters, digits, - _ and ., and not 'base', which is the base model"
        )
    if method.learning_rate is not None and not 0 < method.learning_rate < math.inf:
        raise QweftError(f"methods.{name}.learning_rate must be above 0, got {method.learning_rate}")
    if method.learning_rate is not None and method.rate_of is not None:
        raise QweftError(f"methods.{name}: give either learning_rate or rate_of")
    for key, what in (("match_parameters", "size"), ("match_time", "number of steps"), ("rate_of", "learning rate")):
        other = getattr(method, key)
        if other is None:
            continue
        own = [entry for entry in methods if getattr(methods[entry], key) is None]
        if other not in own:
            raise QweftError(
                f"methods.{name}.{key}: {other!r} is no method with a {what} of its own{closest(other, own)}"
            )
