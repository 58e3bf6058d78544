"""Student's t with any degrees of freedom: tail probability and quantile."""

import math
from functools import lru_cache
from statistics import NormalDist


def tail(t: float, freedom: float) -> float:
    """Return P(|T| >= t) for Student's t with any degrees of freedom, at least 1.

    This is the regularised incomplete beta function I_x(a, b) with x = freedom / (freedom + t^2), a = freedom / 2 and
    b = 1 / 2, by its continued fraction (DLMF 8.17.22).
    """
    if math.isnan(t):
        return math.nan
    square = t * t / freedom
    if math.isinf(square):
        return 0.0
    x, y, a, b = 1 / (1 + square), square / (1 + square), freedom / 2, 0.5
    if x < (a + 1) / (a + b + 2):
        return _incomplete_beta(x, y, a, b)
    return 1 - _incomplete_beta(y, x, b, a)


def _incomplete_beta(x: float, y: float, a: float, b: float) -> float:
    """Return I_x(a, b) where the fraction converges, x < (a + 1) / (a + b + 2); y = 1 - x without cancellation."""
    if x == 0:
        return 0.0
    fraction = 1.0
    for k in range(30 + int(4 * math.sqrt(a)), 0, -1):  # more terms change nothing, up to a million degrees of freedom
        fraction = 1 - (a + k - 1) * (a + b + k - 1) * x / ((a + 2 * k - 2) * (a + 2 * k - 1)) / (
            1 + k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k)) / fraction
        )
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    return math.exp(scale) / (a * fraction)


@lru_cache(maxsize=1024)
def quantile(level: float, freedom: float) -> float:
    """Return the central quantile t of Student's t: P(|T| <= t) = level."""
    # The tail is convex in t and the normal quantile lies below, so Newton's steps approach from one side.
    t, log_scale = NormalDist().inv_cdf((1 + level) / 2), math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    for _ in range(200):
        density = math.exp(log_scale - (freedom + 1) / 2 * math.log1p(t * t / freedom)) / math.sqrt(freedom * math.pi)
        step = (tail(t, freedom) - (1 - level)) / (2 * density)
        t += step
        if abs(step) < 1e-12 * t:
            break
    return t
