"""Loss by learning rate: which rate to try next, the rate of the optimum, and how far from it a rate may be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qweft.comparison.judge.random_effects import LEVEL, Array, t_quantile

Losses = Mapping[float, Sequence[float]]
"""Validation loss by learning rate, at each seed in order; infinite where the training diverged."""

DIGITS = 3
"""Significant digits of a rate that a parabola gives."""

CLOSE = 0.01
"""Rates that are fewer factors of two apart than this tell nothing of a curve."""

STEEP = 1.2
"""A loss above the lowest times this is not near the optimum, where a curve is a parabola."""

ONE_SEED = "it leaves out the chance of the seeds"
"""Why a shortfall may be larger than is told."""


@dataclass(frozen=True)
class Shortfall:
    """How much worse the loss at a rate may be than at the optimum."""

    nats: float | None  # a token; `None` if the curve cannot tell
    percent: float | None  # of the lowest mean loss that was found
    reason: str = ""  # why the curve cannot tell, or what the number leaves out

    @property
    def text(self) -> str:
        """The percentage as text: 0.31%, under 0.01%, 1.2% or more, not known."""
        if self.percent is None:
            return "not known"
        if self.percent < 0.01 and not self.reason:
            return "under 0.01%"
        digits = 2
        if self.percent >= 1:
            digits = 1
        if self.percent >= 10:
            digits = 0
        number = f"{self.percent:.{digits}f}%"
        return f"{number} or more" if self.reason else number


@dataclass(frozen=True)
class Parabola:
    """y1 + slope (x - x1) + curvature / 2 (x - x1)^2 through three points, x = log2(rate), the middle one lowest."""

    rates: tuple[float, ...]  # ascending
    losses: tuple[float, ...]  # means

    @property
    def weights(self) -> tuple[Array, Array]:
        """What the losses are weighted with in the slope at the middle rate, and in the curvature."""
        x = np.log2(np.array(self.rates) / self.rates[1])
        inverse = np.linalg.inv(np.vander(x, 3))
        return inverse[1], 2 * inverse[0]

    @property
    def _rises(self) -> Array:
        return np.array(self.losses) - self.losses[1]

    @property
    def slope(self) -> float:
        """The slope at the middle rate, in nats per factor of two."""
        return float(self.weights[0] @ self._rises)

    @property
    def curvature(self) -> float:
        """The second derivative, in nats per squared factor of two; zero if the three losses are equal."""
        return float(self.weights[1] @ self._rises)

    @property
    def vertex(self) -> float:
        """The rate at the minimum; it lies between the outer two."""
        return self.rates[1] * 2 ** (-self.slope / self.curvature)

    def loss_at(self, rate: float) -> float:
        """Return the loss at a rate."""
        x = math.log2(rate / self.rates[1])
        return self.losses[1] + self.slope * x + self.curvature / 2 * x * x


def means(losses: Losses) -> dict[float, float]:
    """Return the mean loss over the seeds by rate, ascending; infinite if a seed diverged."""
    return {rate: math.fsum(losses[rate]) / len(losses[rate]) for rate in sorted(losses)}


def best_tried(losses: Losses) -> float:
    """Return the rate with the lowest mean loss, of equal ones the lowest."""
    mean_losses = means(losses)
    return min(mean_losses, key=lambda rate: mean_losses[rate])


def next_rate(losses: Losses, start: float, most: int) -> float | None:
    """Return the double of the best rate so far, else its half, until both were tried; `None` if the search is over."""
    if not losses:
        return start
    if len(losses) >= most:
        return None
    best = best_tried(losses)
    candidates = [best * 2, best / 2]
    if not math.isfinite(means(losses)[best]):  # it diverged at every rate
        candidates = [min(losses) / 2]
    return next((rate for rate in candidates if rate not in losses), None)


def next_rates(losses: Losses, rates: Sequence[float], most: int) -> list[float]:
    """Return the rates of an ascending list that are left, and then one beyond the end at which the best one lies."""
    untried = [rate for rate in rates if rate not in losses]
    if untried:
        return untried
    if len(losses) >= most or not is_at_end(losses):
        return []
    ratio = math.sqrt(10)
    if len(rates) > 1:
        ratio = (rates[-1] / rates[0]) ** (1 / (len(rates) - 1))
    best = best_tried(losses)
    further = best * ratio if best == max(losses) else best / ratio
    rounded = float(f"{further:.1e}")
    return [further if rounded in losses else rounded]  # rates may lie near each other


def is_at_end(losses: Losses) -> bool:
    """Whether the best rate is the lowest or highest that was tried, so that a better one may lie beyond."""
    return best_tried(losses) in (min(losses), max(losses))


def parabola(losses: Losses) -> Parabola | None:
    """Return the parabola through the best rate and its neighbours; `None` as `_curve` says."""
    curve = _curve(losses)
    return curve if isinstance(curve, Parabola) else None


def _curve(losses: Losses) -> Parabola | str:
    """Return the parabola through the best rate and its neighbours, or why these are no parabola near the optimum."""
    mean_losses = means(losses)
    best = best_tried(losses)
    if not math.isfinite(mean_losses[best]):
        return "it diverged at every rate"
    if is_at_end(losses):
        return "its best rate lies at an end of what was tried"
    index = list(mean_losses).index(best)
    rates = tuple(mean_losses)[index - 1 : index + 2]
    curve = Parabola(rates, tuple(mean_losses[rate] for rate in rates))
    if not math.isfinite(max(curve.losses)):
        return "it diverged at a rate beside its best one"
    if min(math.log2(high / low) for low, high in pairwise(rates)) < CLOSE:
        return "the rates beside its best one are nearly the same"
    if max(curve.losses) > STEEP * mean_losses[best]:
        return "its loss jumps beside its best rate"
    return curve if curve.curvature > 0 else "its losses do not differ"


def optimum(losses: Losses) -> float:
    """Return the rate at the parabola's vertex, to three digits; without a parabola the best rate that was tried."""
    curve = parabola(losses)
    return best_tried(losses) if curve is None else float(f"{curve.vertex:.{DIGITS}g}")


def shortfall(losses: Losses, rate: float) -> Shortfall:
    """Return (|g| + t s(g))^2 / (2 c), the shortfall of a rate at 95% (docs/statistics.md); g^2 / (2 c) at one seed."""
    curve = _curve(losses)
    if isinstance(curve, str):
        return Shortfall(None, None, curve)
    distance = math.log2(rate / curve.rates[1])
    slope = curve.slope + distance * curve.curvature
    spread = 0.0
    seeds = len(losses[best_tried(losses)])
    if seeds > 1:
        slope_weights, curvature_weights = curve.weights
        weights = slope_weights + distance * curvature_weights
        table = np.array([losses[neighbour] for neighbour in curve.rates])
        residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
        freedom = 2 * (seeds - 1)
        variance = float(np.square(residual).sum()) / freedom / seeds
        spread = t_quantile(LEVEL, freedom) * math.sqrt(variance * float(weights @ weights))
    nats = (abs(slope) + spread) ** 2 / (2 * curve.curvature)
    return Shortfall(nats, 100 * nats / curve.losses[1], "" if seeds > 1 else ONE_SEED)
