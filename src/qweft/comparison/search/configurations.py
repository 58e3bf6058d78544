"""The configurations of one adapter that a space holds, and their checks before PyTorch is imported."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qweft.comparison.checks import check_start, for_search
from qweft.comparison.search.space import Axis, TuneConfig
from qweft.comparison.timing import budget_of
from qweft.core.errors import QweftError
from qweft.method.effective import effective
from qweft.method.presets import stated
from qweft.method.specification import check_names, default_rate
from qweft.training.checks import check_training

LEARNING_RATE = "learning_rate"
"""The one key of a space that is no field of the adapter."""
OF_RATE_SEARCH = ("rates", "search_seeds")
"""Keys of a search for learning rates, which a search over sizes does not read."""

Configuration = dict[str, Any]
"""A value for each axis, by its name: {"r": 4, "learning_rate": 0.003}."""


@dataclass(frozen=True)
class AdapterSpace:
    """What varies of an adapter and what stays."""

    axes: Mapping[str, Axis]
    adapter: Mapping[str, Any]
    learning_rate: float | None  # where no axis varies it; `None` means that of the preset

    @property
    def size(self) -> float:
        """Number of configurations; infinity if a range has no steps."""
        choices = [axis.choices for axis in self.axes.values()]
        return math.prod(math.inf if values is None else len(values) for values in choices)

    def all_configurations(self) -> Iterator[Configuration]:
        """Yield all configurations of a space of finite size, the last axis varying fastest."""
        choices = [axis.choices or () for axis in self.axes.values()]
        for values in itertools.product(*choices):
            yield dict(zip(self.axes, values, strict=True))

    def adapter_at(self, configuration: Configuration) -> dict[str, Any]:
        """Return the adapter's specification at a configuration, with the fields of its preset."""
        varied = {name: value for name, value in configuration.items() if name != LEARNING_RATE}
        return stated({**self.adapter, **varied})

    def learning_rate_at(self, configuration: Configuration) -> float:
        """Return the learning rate at a configuration."""
        given = configuration.get(LEARNING_RATE, self.learning_rate)
        return default_rate(self.adapter_at(configuration))[0] if given is None else float(given)

    def effect_of(self, configuration: Configuration) -> str:
        """Return as text what decides a configuration's training, without fields that its adapter does not read."""
        return as_key([effective(self.adapter_at(configuration)), self.learning_rate_at(configuration)])


def adapter_space(config: TuneConfig) -> AdapterSpace:
    """Return the space of a search over sizes, each axis checked."""
    if len(config.methods) != 1:
        raise QweftError(
            f"space: one adapter is searched, and methods has {', '.join(config.methods)}; leave one of them there"
        )
    (method,) = config.methods.values()
    for name, axis in config.space.items():
        _check_axis(name, axis)
    rates = config.space.get(LEARNING_RATE)
    if rates is not None:
        _check_learning_rates(config, rates)
    rate = method.learning_rate or method.search_from or config.training.learning_rate
    return AdapterSpace(config.space, method.adapter, rate)


def _check_axis(name: str, axis: Axis) -> None:
    """Check that an axis is a list or a range, and not empty."""
    has_low = axis.low is not None
    has_high = axis.high is not None
    is_range = axis.values is None
    if has_low != is_range or has_high != is_range:
        raise QweftError(
            f"space.{name}: give either {{values: [...]}}, or {{low: ..., high: ...}} with log: true or a step"
        )
    try:
        _ = axis.distribution
    except ValueError as error:
        raise QweftError(f"space.{name}: {error}") from error


def _check_learning_rates(config: TuneConfig, axis: Axis) -> None:
    """Check the learning rates of an axis, or the ends of its range."""
    rates: list[Any] = axis.choices or [axis.low, axis.high]
    for rate in rates:
        try:
            check_training(replace(config.training, learning_rate=rate))
        except QweftError as error:
            raise QweftError(f"space.{LEARNING_RATE}: {error}") from error


def check_sizes(config: TuneConfig, needs_weights: bool = False) -> None:
    """Check all of a search over sizes that can be checked before the model and the data are loaded."""
    check_start(for_search(config), needs_weights)
    budget_of(config.budget)
    for key in OF_RATE_SEARCH:
        if getattr(config, key) is not None:
            raise QweftError(f"{key} is for a search without a space; leave it out, or give space.{LEARNING_RATE}")
    space = adapter_space(config)
    fields = {name: axis for name, axis in space.axes.items() if name != LEARNING_RATE}
    try:
        check_names({**fields, **space.adapter})
    except QweftError as error:
        raise QweftError(f"space: {error}; beside the adapter's fields it takes {LEARNING_RATE}") from error


def as_key(value: Any) -> str:
    """Return a configuration or a specification as text; equal ones give equal text."""
    return json.dumps(value, sort_keys=True, default=str)


def format_value(value: Any) -> str:
    """Return a value of an axis as text for a sentence or a table."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)[:200]


def format_configuration(configuration: Configuration) -> str:
    """Return a configuration as text: r 4, learning_rate 0.003."""
    return ", ".join(f"{name} {format_value(value)}" for name, value in configuration.items())


def format_axis(axis: Axis) -> str:
    """Return an axis as text."""
    if axis.values is not None:
        return ", ".join(map(format_value, axis.values))
    ends = f"{axis.low:g} to {axis.high:g}"
    if axis.log:
        return f"{ends}, logarithmic"
    return f"{ends}, in steps of {axis.step:g}" if axis.step else ends
