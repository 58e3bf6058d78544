"""Standard errors of a mean paired difference: random effects of seeds and of test rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
"""Level of an interval."""
POWER = 0.8
"""Power at which an effect counts as detectable."""

Array = NDArray[np.float64]


def two_sided_p(t: float, freedom: float) -> float:
    """Return P(|T| >= t) for Student's t with any degrees of freedom, at least 1."""
    return float(2 * stdtr(freedom, -t))


def t_quantile(level: float, freedom: float) -> float:
    """Return the central quantile t of Student's t: P(|T| <= t) = level."""
    return float(stdtrit(freedom, (1 + level) / 2))


class StandardError(NamedTuple):
    """A standard error, with its degrees of freedom."""

    value: float
    freedom: float

    def difference_p(self, difference: float) -> float:
        """Return p of the two-sided t test that the true mean is zero."""
        if difference == 0:
            return 1.0
        if self.value == 0:
            return 0.0
        return two_sided_p(abs(difference) / self.value, self.freedom)

    def equivalence_p(self, difference: float, margin: float) -> float:
        """Return the larger p of two one-sided t tests, P(T >= (margin - |difference|) / error) (Schuirmann, 1987)."""
        distance = margin - abs(difference)
        if self.value == 0:
            return 0.0 if distance > 0 else 1.0
        return float(stdtr(self.freedom, -distance / self.value))

    def half_width(self, level: float) -> float:
        """Return half the width of an interval, t * standard error."""
        return t_quantile(level, self.freedom) * self.value

    def minimum_detectable_effect(self) -> float:
        """Return the effect that is found with 80% power at 5%: (t_0.975 + t_0.8) * standard error."""
        return (t_quantile(LEVEL, self.freedom) + t_quantile(2 * POWER - 1, self.freedom)) * self.value


@dataclass(frozen=True)
class StandardErrors:
    """Standard errors of one mean difference, each a bound on the chance in it: the largest counts."""

    parts: tuple[StandardError, ...]  # of seeds, of rows if recorded, of both if larger than each of the two
    rows: int = 0  # test rows whose chance is in them

    @property
    def are_finite(self) -> bool:
        """Whether no loss behind them is NaN or infinity."""
        return all(math.isfinite(part.value) for part in self.parts)

    def interval(self, difference: float, level: float = LEVEL) -> tuple[float, float]:
        """Return the widest interval around a mean difference, difference +- t * standard error."""
        half_width = max(part.half_width(level) for part in self.parts)
        return difference - half_width, difference + half_width

    def difference_p(self, difference: float) -> float:
        """Return the largest two-sided p of a mean difference."""
        return max(part.difference_p(difference) for part in self.parts)

    def equivalence_p(self, difference: float, margin: float) -> float:
        """Return the largest p that a mean difference lies within the margin on both sides."""
        return max(part.equivalence_p(difference, margin) for part in self.parts)

    def minimum_detectable_effect(self) -> float:
        """Return the largest effect of the parts that is found with 80% power at 5%."""
        return max(part.minimum_detectable_effect() for part in self.parts)


def crossed_standard_errors(
    differences: Sequence[float], losses: Array | None = None, reference_losses: Array | None = None
) -> StandardErrors:
    """Return the standard errors of the mean of paired differences over seeds and rows (docs/statistics.md).

    Args:
        differences: In percent, one a seed.
        losses: The method's summed losses, (seeds, rows). Without them the seeds alone count.
        reference_losses: Those of the method that it is compared with.
    """
    percents = np.asarray(differences, dtype=np.float64)
    count = len(percents)
    of_seeds = StandardError(float(percents.std(ddof=1)) / math.sqrt(count), count - 1.0)
    if losses is None or reference_losses is None:
        return StandardErrors((of_seeds,))
    rows = losses.shape[1]
    table, of_rows = jackknife_rows(losses - reference_losses, reference_losses.mean(0), float(percents.mean()))
    of_both = _error_of_both(table, of_seeds, of_rows)
    if of_both is None:
        return StandardErrors((of_seeds, of_rows), rows)
    return StandardErrors((of_seeds, of_rows, of_both), rows)


def _error_of_both(table: Array, of_seeds: StandardError, of_rows: StandardError) -> StandardError | None:
    """Return the error by random effects of seeds and rows; `None` if the estimate of a variance is negative."""
    seeds, rows = table.shape
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    square_of_seeds = seeds * rows * of_seeds.value**2
    square_of_rows = seeds * rows * of_rows.value**2
    square_of_residual = float(np.square(residual).sum() / ((seeds - 1) * (rows - 1)))
    # A negative estimate is not set to zero: then either part alone bounds the error.
    if not min(square_of_seeds, square_of_rows) > square_of_residual:
        return None
    total = square_of_seeds + square_of_rows - square_of_residual
    # Satterthwaite (1946). The ratios are squared, since fourth powers of a loss could overflow.
    shares = (
        (square_of_seeds / total) ** 2 / (seeds - 1),
        (square_of_rows / total) ** 2 / of_rows.freedom,
        (square_of_residual / total) ** 2 / ((seeds - 1) * of_rows.freedom),
    )
    return StandardError(math.sqrt(total / (seeds * rows)), 1 / sum(shares))


class RowJackknife(NamedTuple):
    """Influence of each row on a ratio of sums, and the standard error of the ratio over the rows."""

    table: Array  # y of docs/statistics.md, (seeds, rows), in percent
    error: StandardError


def jackknife_rows(differences: Array, scale: Array, percent: float) -> RowJackknife:
    """Return the jackknife over rows of percent = 100 sum_i differences_i / sum_i scale_i.

    Args:
        differences: Summed losses of each row above the other method's, (seeds, rows).
        scale: The other method's summed losses, (rows).
        percent: The ratio, averaged over seeds.
    """
    rows = len(scale)
    shares = scale / scale.sum()
    without_row = np.maximum(1 - shares, np.finfo(np.float64).eps)  # zero for a row beside which all others are zero
    table = 100 * rows * (differences - percent / 100 * scale) / scale.sum()
    table = (table - table.mean()) * (1 - 1 / rows) / without_row
    error = math.sqrt(float(np.square(table.mean(0)).sum()) / (rows * (rows - 1)))
    effective_rows = 1 / float(np.square(shares).sum())
    return RowJackknife(table, StandardError(error, max(1.0, effective_rows - 1)))
