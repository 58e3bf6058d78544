"""`Method`: a method of a comparison, resolved and checked before any training."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from qweft.comparison.checks import check_adapter, check_methods, check_on_shared, refused
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.comparison.sizes import count, matched
from qweft.errors import QweftError
from qweft.method.presets import stated
from qweft.method.specification import default_rate
from qweft.models.quantization import quantized_as
from qweft.text import progress


@dataclass(frozen=True)
class Method:
    """A method ready to be trained."""

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


@progress("checking the methods")
def resolve_methods(config: ComparisonConfig, model: nn.Module) -> list[Method]:
    """Check every method on the model (on the meta device) and chooses the ranks that match other methods."""
    check_methods(config)
    adapters: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for name in sorted(config.methods, key=lambda name: config.methods[name].match_parameters is not None):
        wanted = config.methods[name].match_parameters  # methods that match another come after it
        try:
            adapter = stated(config.methods[name].adapter)
            adapters[name] = adapter if wanted is None else matched(model, adapter, counts[wanted])
            check_adapter(adapters[name])  # a matched rank may lie outside its bounds
            check_on_shared(adapters[name], quantized_as(model))
            counts[name] = count(model, adapters[name], config.training.learning_rates)
        except QweftError as error:
            raise refused(name, wanted, error) from error
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
    given = source.learning_rate or (config.search and source.search_from) or config.training.learning_rate
    return given or default_rate(source.adapter)[0]


def _budget(method: MethodConfig) -> dict[str, Any] | None:
    if method.match_parameters is None and method.match_time is None:
        return None
    matched = {"matches_time": method.match_time, "matches_parameters": method.match_parameters}
    return {**matched, "step_seconds": None, "basis_seconds": None}
