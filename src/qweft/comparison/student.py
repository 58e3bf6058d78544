"""Student's t with any degrees of freedom: tail probability and quantile."""

from scipy.special import stdtr, stdtrit


def tail(t: float, freedom: float) -> float:
    """Return P(|T| >= t) for Student's t with any degrees of freedom, at least 1."""
    return float(2 * stdtr(freedom, -t))


def quantile(level: float, freedom: float) -> float:
    """Return the central quantile t of Student's t: P(|T| <= t) = level."""
    return float(stdtrit(freedom, (1 + level) / 2))
