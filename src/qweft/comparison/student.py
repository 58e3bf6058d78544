"""Student's t: by how much an interval from few values must be wider than one from many."""

import math
from functools import lru_cache
from statistics import NormalDist


def within(t: float, freedom: int) -> float:
    """P(|T| <= t) for Student's t with a whole number of degrees of freedom.

    The finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4, with a = atan(t / sqrt(freedom)):

        odd:   2 / pi * (a + sin a * (cos a + 2/3 cos^3 a + (2 * 4) / (3 * 5) cos^5 a + ...)), up to cos^(freedom - 2)
        even:  sin a * (1 + 1/2 cos^2 a + (1 * 3) / (2 * 4) cos^4 a + ...), up to cos^(freedom - 2)
    """
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * square
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


@lru_cache(maxsize=64)
def widening(level: float, freedom: int) -> float:
    """The ratio t / z of the quantiles of Student's t and of the normal that hold a share `level` between -+.

    Args:
        level: Between 0 and 1.
        freedom: Degrees of freedom, at least 1.
    """
    low, high = 0.0, 1e6
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < level else (low, middle)
    return high / NormalDist().inv_cdf((1 + level) / 2)
