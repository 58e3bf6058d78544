"""The config of `qweft tune`: a comparison's, and the space of a search over the sizes of one adapter."""

import warnings
from dataclasses import dataclass, field
from typing import Any

from qweft.comparison.config import ComparisonConfig
from qweft.core.errors import require
from qweft.core.schema import Count

SIGNIFICANT_DIGITS = 3
"""Digits of drawn numbers: few enough to type a result again."""


@dataclass(frozen=True)
class Axis:
    """The values that one field may take: {values: [2, 4, 8]}, or {low: 1e-3, high: 3e-2} with log: true or a step.

    Args:
        values: The values to try.
        low: Lowest number.
        high: Highest number.
        log: Whether draws are uniform in the logarithm.
        step: Step between the numbers that are tried.
    """

    values: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None

    @property
    def distribution(self) -> Any:
        """The axis as Optuna has it; raises `ValueError` for an empty list or range."""
        distributions = require("optuna", "workbench", "a search over sizes").distributions
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns of lists as values, and of a high that no step meets
            if self.values is not None:
                return distributions.CategoricalDistribution(self.values)
            if all(isinstance(number, int | None) for number in (self.low, self.high, self.step)):
                return distributions.IntDistribution(self.low, self.high, self.log, self.step or 1)
            return distributions.FloatDistribution(self.low, self.high, self.log, self.step)

    @property
    def choices(self) -> list[Any] | None:
        """All values in order; `None` for a range without steps."""
        if self.values is not None:
            return self.values
        distribution = self.distribution
        if distribution.log or not distribution.step:
            return None
        steps = range(round((distribution.high - distribution.low) / distribution.step) + 1)
        return [self.rounded(distribution.low + number * distribution.step) for number in steps]

    def rounded(self, value: Any) -> Any:
        """Return a drawn value, a float with the digits with which it would be typed."""
        if self.values is not None or isinstance(value, int):
            return value
        if self.step:
            return float(f"{value:.12g}")  # 0.1 * 3 is 0.30000000000000004
        distribution = self.distribution
        typed = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
        return min(max(typed, distribution.low), distribution.high)


@dataclass(frozen=True)
class TuneConfig(ComparisonConfig):
    """The learning rates of a comparison's methods, or the sizes of one method: `qweft tune`.

    Args:
        space: What varies in a search over sizes: fields of the adapter (r, width, bond_dimension, circuit_layers), and
            learning_rate. `methods` then has one method, which states the fields that stay. Without a space the
            learning rate of each method is searched.
        trials: Number of configurations of the space to train in total. A larger number later continues the search.
        at_once: Number of trials that may run at once. A proposal learns only from trials at least this far back, so
            it does not depend on who runs them.
        budget: Of a search over sizes, the most time and the most trained parameters: 20min, 2h, "200k parameters",
            "20min,200k". Larger configurations are not drawn. No trial starts once the finished ones took the time.
    """

    space: dict[str, Axis] = field(default_factory=dict)
    trials: Count = 20
    at_once: Count = 4
