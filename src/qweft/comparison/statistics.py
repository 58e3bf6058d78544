"""Paired comparison of two methods: bootstrap intervals, Student's t and the sign-flip test."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from qweft.comparison.results import RowLosses

SEEDS_NEEDED = 3
"""With fewer paired seeds than this, no difference is shown."""

LARGEST_P = 0.05
"""Largest sign-flip p of a difference that is shown, enforced from six seeds on, where the test can reach it."""

LEVEL = 0.95
TWO_ONE_SIDED = 0.90
"""Level of the interval that must lie within the margin of equivalence: each of its ends is a one-sided test at 5%."""
DRAWS = 10_000
BLOCKS = 10

Array = NDArray[np.float64]

MOST_EXACT = 20
"""Largest number of differences for which all sign patterns are counted: 2^20 sums."""


Direction = Literal["lower", "higher", "equivalent", "not shown"]


@dataclass(frozen=True)
class Pairing:
    """The paired differences of two methods' held-out losses.

    With loss a_k of the method and b_k of the other one at seed k, both on the same data order:

        difference_k = 100 * (a_k - b_k) / mean(b),   mean over the paired seeds

    A difference is shown if all of these hold:

    - at least three seeds are paired,
    - no run at these seeds diverged,
    - the interval excludes zero,
    - from six seeds on, the sign-flip p is at most 0.05.

    Two methods are equivalent if no difference is shown, the first two hold, and the 90% interval lies within the
    stated margin: two one-sided tests at 5% (Schuirmann 1987).

    docs/statistics.md has the reasons, the coverage of the intervals and the alternatives that were tried.
    `python -m benchmarks.coverage` measures the coverage.

    Args:
        seeds: Seeds at which both methods have a finite loss.
        differences: In percent, one per seed; below zero where the method's loss is lower.
        mean: Mean of the differences in percent; `None` without a pair.
        spread: Sample standard deviation in percentage points; `None` with fewer than two differences.
        interval: Both ends of the 95% interval of the mean, in percent. `None` with fewer than three seeds, if a run
            diverged, or if the loss of a test row is NaN or infinity.
        rows: Number of test rows whose sampling error the interval covers. 0 if their losses were not recorded; the
            interval then covers the seeds alone.
        p_value: p of the two-sided sign-flip test over seeds; `None` without a pair, or with more than 20.
        smallest_p: Smallest p possible with this number of seeds; `None` without a pair.
        direction: "lower" or "higher" if a difference is shown, "equivalent", or else "not shown".
        reason: Why a difference is not shown; empty if it is.
        margin: The margin of equivalence in percent; `None` if none was stated.
        narrow: The 90% interval, if there is a margin and the 95% interval.
    """

    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean: float | None
    spread: float | None
    interval: tuple[float, float] | None
    rows: int
    p_value: float | None
    smallest_p: float | None
    direction: Direction
    reason: str
    margin: float | None = None
    narrow: tuple[float, float] | None = None


def pair(
    losses: Mapping[int, float | None],
    others: Mapping[int, float | None],
    rows: Mapping[int, RowLosses] | None = None,
    other_rows: Mapping[int, RowLosses] | None = None,
    margin: float | None = None,
) -> Pairing:
    """Compares two methods at the seeds that both have.

    Args:
        losses: Held-out loss of the method by seed; `None` if the run diverged.
        others: The same for the other method.
        rows: The method's losses on each test row by seed. A seed may be missing, or its losses empty.
        other_rows: The same for the other method, on the same rows.
        margin: The margin of equivalence in percent; `None` if none was stated.

    Returns:
        The differences, their interval and p, and their direction. If a run of either method diverged, the direction is
        "not shown": omitting that seed would favour the method that diverges.
    """
    shared = sorted(set(losses) & set(others))
    values = [(seed, losses[seed], others[seed]) for seed in shared]
    finite = [(seed, a, b) for seed, a, b in values if a is not None and b is not None]
    scale = mean([b for _, _, b in finite])
    differences = tuple(100 * (a - b) / scale for _, a, b in finite) if scale else ()
    seeds = tuple(seed for seed, _, _ in finite)
    diverged = len(shared) - len(finite)
    interval, narrow, count = None, None, 0
    if len(differences) >= SEEDS_NEEDED and not diverged:
        sums, other_sums = _sums(seeds, rows or {}), _sums(seeds, other_rows or {})
        if sums is None or other_sums is None:
            sums = other_sums = None
        interval, count = paired_interval(differences, sums, other_sums), 0 if sums is None else sums.shape[1]
        narrow = None if margin is None else paired_interval(differences, sums, other_sums, TWO_ONE_SIDED)
    p = sign_flip_p(differences)
    least = smallest_p(len(differences)) if differences else None
    reason = _reason(differences, diverged, len(shared), interval, p)
    if interval is not None and not all(map(math.isfinite, interval)):
        interval, narrow, count = None, None, 0
    direction: Direction = "not shown"
    if not reason:
        direction = "lower" if math.fsum(differences) < 0 else "higher"
    elif margin is not None and narrow is not None and -margin < narrow[0] <= narrow[1] < margin:
        direction = "equivalent"
    middle, spread = mean(differences), deviation(differences)
    return Pairing(seeds, differences, middle, spread, interval, count, p, least, direction, reason, margin, narrow)


class Scored(Protocol):
    """A method's held-out losses at its seeds, in total and by test row."""

    @property
    def seeds(self) -> Sequence[int]:
        """The method's seeds."""

    @property
    def eval_losses(self) -> Sequence[float | None]:
        """Held-out loss at each seed; `None` if the run diverged."""

    @property
    def eval_row_losses(self) -> Sequence[RowLosses]:
        """Losses on each test row at each seed; empty if not recorded."""

    @property
    def equivalent_within(self) -> float | None:
        """The comparison's margin of equivalence."""


def paired(method: Scored, other: Scored) -> Pairing:
    """Compares two methods with `pair`."""
    return pair(
        dict(zip(method.seeds, method.eval_losses, strict=True)),
        dict(zip(other.seeds, other.eval_losses, strict=True)),
        dict(zip(method.seeds, method.eval_row_losses, strict=True)),
        dict(zip(other.seeds, other.eval_row_losses, strict=True)),
        method.equivalent_within,
    )


def mean(values: Sequence[float]) -> float | None:
    """Returns the arithmetic mean, or `None` without values."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Returns the sample standard deviation (denominator n - 1), or `None` with fewer than two values."""
    if len(values) < 2:
        return None
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def _reason(
    differences: tuple[float, ...], diverged: int, pairs: int, interval: tuple[float, float] | None, p: float | None
) -> str:
    """Returns why a difference is not shown under the rule of `Pairing`; empty if it is shown."""
    if diverged:
        return f"{diverged} of {pairs} pairs diverged"
    if not differences:
        return "there is no seed that both have"
    if not any(differences):
        return "the losses are equal"
    if interval is None:
        return f"at least {SEEDS_NEEDED} seeds are needed"
    low, high = interval
    if not math.isfinite(low + high):
        return "the loss of a test row is not a number"
    if low <= 0 <= high:
        return "the interval holds zero"
    if p is not None and p > LARGEST_P >= smallest_p(len(differences)):
        return f"the sign-flip p is above {LARGEST_P}"
    return ""


def _sums(seeds: tuple[int, ...], rows: Mapping[int, RowLosses]) -> Array | None:
    """Returns summed losses, (seeds, rows with targets); `None` if a seed has fewer than two such rows."""
    found = [[total for total, tokens in rows.get(seed, ()) if tokens] for seed in seeds]
    return np.array(found) if min(map(len, found)) > 1 else None


def paired_interval(
    differences: Sequence[float], losses: Array | None = None, others: Array | None = None, level: float = LEVEL
) -> tuple[float, float]:
    """Returns the bootstrap interval of the mean of paired differences.

        low, high = d + the 2.5% and 97.5% quantiles of (seed deviation + row deviation),   d = mean of differences

    Args:
        differences: 100 * (a_k - b_k) / mean(b), one per seed, at least two.
        losses: The method's summed losses, (seeds, rows), at least two rows. `None` if they were not recorded; the
            interval then covers the seeds alone.
        others: The same for the other method.
        level: Probability that the interval holds the true mean.

    Returns:
        Both ends, in percent. Draws are seeded, so every call gives the same interval.
    """
    d = np.asarray(differences, dtype=np.float64)
    deviations = seed_deviations(d, level)
    if losses is not None and others is not None:
        deviations = deviations + row_deviations(losses, others, level)
    low, high = np.quantile(deviations, [(1 - level) / 2, (1 + level) / 2])
    return float(d.mean() + low), float(d.mean() + high)


def seed_deviations(differences: Array, level: float = LEVEL) -> Array:
    """Returns bootstrap deviations of the mean over seeds, one per draw.

        t / z * sqrt(n / (n - 1)) * 1/n sum_k g_k (d_k - d),   g_k standard normal

    This is the bootstrap with random multipliers (Wu 1986). Resampling three seeds has only ten outcomes; the
    multipliers give a continuous distribution with the same variance. sqrt(n / (n - 1)) and Student's t with n - 1
    degrees of freedom widen it to suit few values. Hesterberg (arXiv:1411.5279) expands the percentile interval
    likewise.
    """
    n = len(differences)
    factor = widening(level, n - 1) * math.sqrt(n / (n - 1)) / n
    draws: Array = _normals(n) @ (differences - differences.mean())
    return factor * draws


def row_deviations(losses: Array, others: Array, level: float = LEVEL) -> Array:
    """Returns bootstrap deviations of the mean over test rows, one per draw.

        100 * (sum_i w_i D_i / sum_i w_i B_i - sum_i D_i / sum_i B_i),   w_i: how often row i was drawn

    D_i is the difference and B_i the other method's loss, summed over the tokens of row i and averaged over seeds. So a
    row weighs as much as its tokens. The deviations are widened as in `seed_deviations`, with m - 1 degrees of freedom.

    The spread over seeds already contains the row-by-seed interaction, which would count twice. So the deviations are
    scaled by sqrt(1 - I / T). T is the variance over rows of the seed average. I is the part of T that comes from the
    interaction: the residuals' variance over seeds, divided by the number of seeds.
    """
    n, m = losses.shape
    difference, scale = (losses - others).mean(0), others.mean(0)
    total = scale.sum()
    residuals = (losses - others) - (losses - others).sum(1, keepdims=True) / total * scale  # sum to zero for each seed
    both = np.square(residuals.mean(0)).sum()
    interaction = residuals.var(0, ddof=1).sum() / n
    own = math.sqrt(max(0.0, 1 - interaction / both)) if both > 0 else 0.0
    columns = np.stack([difference, scale], axis=1)
    sums = np.concatenate([block @ columns for block in np.split(_resamples(m), BLOCKS)])
    factor = 100 * own * widening(level, m - 1) * math.sqrt(m / (m - 1))
    deviations: Array = factor * (sums[:, 0] / sums[:, 1] - difference.sum() / total)
    return deviations


@lru_cache(maxsize=4)
def _normals(seeds: int) -> Array:
    """Returns standard normal multipliers, (draws, seeds)."""
    return np.random.default_rng(0).standard_normal((DRAWS, seeds))


@lru_cache(maxsize=1)
def _resamples(rows: int) -> NDArray[np.uint8]:
    """Returns how often each row was drawn, (draws, rows)."""
    # Bytes and blocks save memory. A row is drawn once on average, so its count never reaches 256.
    draw, chances = np.random.default_rng(1), np.full(rows, 1 / rows)
    blocks = [draw.multinomial(rows, chances, size=DRAWS // BLOCKS).astype(np.uint8) for _ in range(BLOCKS)]
    return np.concatenate(blocks)


def within(t: float, freedom: int) -> float:
    """Returns P(|T| <= t) for Student's t with a whole number of degrees of freedom.

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
    """Returns the ratio t / z of the central quantiles of Student's t and of the normal distribution.

    Args:
        level: Probability between the quantiles -q and +q, from 0 to 1.
        freedom: Degrees of freedom, at least 1.
    """
    low, high = 0.0, 1e6
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < level else (low, middle)
    return high / NormalDist().inv_cdf((1 + level) / 2)


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Returns the two-sided p of the paired permutation (sign-flip) test.

    If the two methods are alike, a seed's difference is as likely as its negative. Over the 2^n sign patterns

        p = the share with |sum_k (+-)_k d_k| >= |sum_k d_k|

    All patterns are counted, so this symmetry is the only assumption on the distribution.

    Args:
        differences: One per seed.

    Returns:
        p; `None` without differences, or with more than 20.
    """
    if not 0 < len(differences) <= MOST_EXACT:
        return None
    sums = np.array(differences[:1])  # the first sign can stay fixed: flipping all signs leaves |.| unchanged
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    # Sums that are equal in exact arithmetic differ by rounding.
    rounding = 1e-9 * float(np.abs(differences).sum())
    return float(np.mean(np.abs(sums) >= abs(sum(differences)) - rounding))


def smallest_p(seeds: int) -> float:
    """Returns the smallest p that the sign-flip test can give: 2 / 2^n, if all n signs agree."""
    return float(2.0 ** (1 - seeds))
