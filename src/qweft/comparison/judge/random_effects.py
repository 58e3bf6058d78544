"""Errors of a mean paired difference: random effects of seeds and of test rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
POWER = 0.8
"""Power at which an effect counts as visible."""

Array = NDArray[np.float64]


def tail(t: float, freedom: float) -> float:
    """Return P(|T| >= t) for Student's t with any degrees of freedom, at least 1."""
    return float(2 * stdtr(freedom, -t))


def _upper_tail(room: float, error: float, freedom: float) -> float:
    """Return P(T >= room / error); without any error 0 if there is room, else 1."""
    if error:
        return float(stdtr(freedom, -room / error))
    return 0.0 if room > 0 else 1.0


def quantile(level: float, freedom: float) -> float:
    """Return the central quantile t of Student's t: P(|T| <= t) = level."""
    return float(stdtrit(freedom, (1 + level) / 2))


@dataclass(frozen=True)
class Errors:
    """Standard errors of a mean difference with their degrees of freedom, each a bound on the chance in it."""

    parts: tuple[tuple[float, float], ...]  # of seeds, of rows if recorded, of both if larger than each of the two

    @property
    def finite(self) -> bool:
        """Whether no loss behind them is NaN or infinity."""
        return all(math.isfinite(error) for error, _ in self.parts)

    def interval(self, middle: float, level: float = LEVEL) -> tuple[float, float]:
        """Return the widest interval around a mean difference, middle +- t * standard error."""
        half = max(quantile(level, freedom) * error for error, freedom in self.parts)
        return middle - half, middle + half

    def p_value(self, difference: float) -> float:
        """Return the largest two-sided p of a mean difference."""
        if difference == 0:
            return 1.0
        return max(tail(abs(difference) / error if error else math.inf, freedom) for error, freedom in self.parts)

    def equivalence_p(self, difference: float, margin: float) -> float:
        """Return the larger p of two one-sided t tests that a mean difference lies within the margin on both sides."""
        room = margin - abs(difference)
        return max(_upper_tail(room, error, freedom) for error, freedom in self.parts)

    def visible(self) -> float:
        """Return the smallest effect that would be found with 80% power at 5%: (t_0.975 + t_0.8) * standard error."""
        levels = (LEVEL, 2 * POWER - 1)
        return max(sum(quantile(level, freedom) for level in levels) * error for error, freedom in self.parts)


def errors_of(differences: Sequence[float], losses: Array | None = None, others: Array | None = None) -> Errors:
    """Return the standard errors of the mean of paired differences over seeds and rows (docs/statistics.md)."""
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    seeds = (float(d.std(ddof=1)) / math.sqrt(n), n - 1.0)
    if losses is None or others is None:
        return Errors((seeds,))
    m = losses.shape[1]
    scale = others.mean(0)
    table, error, freedom_of_rows = jackknifed(losses - others, scale, float(d.mean()))
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    mean_squares = (
        n * m * seeds[0] ** 2,
        n * m * error**2,
        float(np.square(residual).sum() / ((n - 1) * (m - 1))),
    )
    of_seeds, of_rows, left = mean_squares
    rows = (error, freedom_of_rows)
    total = of_seeds + of_rows - left
    if not min(of_seeds, of_rows) > left:  # a negative estimate of variance is not set to zero: either part bounds
        return Errors((seeds, rows))
    parts = zip(mean_squares, (n - 1, freedom_of_rows, (n - 1) * freedom_of_rows), strict=True)  # Satterthwaite (1946)
    freedom = 1 / sum((square / total) ** 2 / count for square, count in parts)  # fourth powers could overflow
    return Errors((seeds, rows, (math.sqrt(total / (n * m)), freedom)))


def jackknifed(differences: Array, scale: Array, percent: float) -> tuple[Array, float, float]:
    """Return y of docs/statistics.md, the standard error of the mean over its rows, and their degrees of freedom."""
    m, shares = len(scale), scale / scale.sum()
    spared = np.maximum(1 - shares, np.finfo(np.float64).eps)  # of a row beside which all others are zero
    table = 100 * m * (differences - percent / 100 * scale) / scale.sum()
    table = (table - table.mean()) * (1 - 1 / m) / spared
    error = math.sqrt(float(np.square(table.mean(0)).sum()) / (m * (m - 1)))
    return table, error, max(1.0, 1 / float(np.square(shares).sum()) - 1)
