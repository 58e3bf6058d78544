"""The 95% interval of a paired difference, from both sources of its chance: the seeds and the test rows.

How well it covers, and what else was tried: docs/statistics.md; `python -m benchmarks.coverage` measures it.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qweft.comparison.student import widening

LEVEL = 0.95
DRAWS = 10_000
BLOCKS = 10

Array = NDArray[np.float64]


def paired_interval(
    differences: Sequence[float], losses: Array | None = None, others: Array | None = None
) -> tuple[float, float]:
    """The bootstrap interval of the mean of paired differences.

        low, high = d + the 2.5% and 97.5% quantiles of (seed deviation + row deviation),   d = mean of differences

    Args:
        differences: 100 * (a_k - b_k) / mean(b), one a seed, at least two.
        losses: The method's summed losses, (seeds, rows), at least two rows; none where they were not recorded: then
            the interval holds the chance of the seeds alone.
        others: The same of the other method.

    Returns:
        Both ends, in percent; the same at every call.
    """
    d = np.asarray(differences, dtype=np.float64)
    deviations = seed_deviations(d)
    if losses is not None and others is not None:
        deviations = deviations + row_deviations(losses, others)
    low, high = np.quantile(deviations, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(d.mean() + low), float(d.mean() + high)


def seed_deviations(differences: Array) -> Array:
    """How far other seeds would have moved the mean.

        t / z * sqrt(n / (n - 1)) * 1/n sum_k g_k (d_k - d),   g_k standard normal

    This is the bootstrap with random multipliers (Wu 1986). Resampling three seeds has ten outcomes, the multipliers
    have no such lumps; the variance is the same. sqrt(n / (n - 1)) and Student's t with n - 1 degrees of freedom
    widen it as few values need (Hesterberg, arXiv:1411.5279, expands the percentile interval likewise).
    """
    n = len(differences)
    factor = widening(LEVEL, n - 1) * math.sqrt(n / (n - 1)) / n
    draws: Array = _normals(n) @ (differences - differences.mean())
    return factor * draws


def row_deviations(losses: Array, others: Array) -> Array:
    """How far other test rows would have moved the mean.

        100 * (sum_i w_i D_i / sum_i w_i B_i - sum_i D_i / sum_i B_i),   w_i: how often row i was drawn

    with D_i the difference and B_i the other method's loss, summed over the tokens of row i and averaged over seeds;
    so a row weighs as its tokens do. Widened as the seeds' part is, with m - 1 degrees of freedom.

    What a row does at one seed alone is in the spread of the seeds already and would count twice. So the deviations
    are scaled by sqrt(1 - I / T), with T the variance over rows of what is averaged and I the part of it that such
    row-by-seed chance makes: the residuals' variance over seeds, divided by their number.
    """
    n, m = losses.shape
    difference, scale = (losses - others).mean(0), others.mean(0)
    total = scale.sum()
    residuals = (losses - others) - (losses - others).sum(1, keepdims=True) / total * scale  # each seed's sum to zero
    both = np.square(residuals.mean(0)).sum()
    interaction = residuals.var(0, ddof=1).sum() / n
    own = math.sqrt(max(0.0, 1 - interaction / both)) if both > 0 else 0.0
    columns = np.stack([difference, scale], axis=1)
    sums = np.concatenate([block @ columns for block in np.split(_resamples(m), BLOCKS)])
    factor = 100 * own * widening(LEVEL, m - 1) * math.sqrt(m / (m - 1))
    deviations: Array = factor * (sums[:, 0] / sums[:, 1] - difference.sum() / total)
    return deviations


@lru_cache(maxsize=4)
def _normals(seeds: int) -> Array:
    """The multipliers, (draws, seeds)."""
    return np.random.default_rng(0).standard_normal((DRAWS, seeds))


@lru_cache(maxsize=1)
def _resamples(rows: int) -> NDArray[np.uint8]:
    """How often each row was drawn, (draws, rows)."""
    # In bytes and by blocks for the memory's sake: a row is drawn once on average, and never 256 times.
    draw, chances = np.random.default_rng(1), np.full(rows, 1 / rows)
    blocks = [draw.multinomial(rows, chances, size=DRAWS // BLOCKS).astype(np.uint8) for _ in range(BLOCKS)]
    return np.concatenate(blocks)
