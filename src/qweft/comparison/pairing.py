"""Two methods held against each other seed by seed, and when a difference may be said to be shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from qweft.comparison.intervals import Array, paired_interval
from qweft.comparison.permutation import sign_flip_p, smallest_p
from qweft.comparison.results import RowLosses

SEEDS_NEEDED = 3
"""Fewer seeds than this show nothing, whatever their differences are."""

LARGEST_P = 0.05
"""Where the sign-flip test can give this p or a smaller one (six seeds or more), it must."""


@dataclass(frozen=True)
class Pairing:
    """The paired differences of two methods' held-out losses.

    With loss a_k of the method and b_k of the other one at seed k, the same data order for both:

        difference_k = 100 * (a_k - b_k) / mean(b),   mean over the seeds that both have

    The rule, in docs/statistics.md with its reasons: a difference is shown where at least three seeds are paired, no
    run of them diverged, the interval excludes zero, and, from six seeds on, the sign-flip p is at most 0.05.

    Args:
        seeds: The seeds that both have.
        differences: In percent, one a seed; below zero where the method's loss is lower.
        mean: Their mean, in percent; none without a pair.
        spread: Their sample standard deviation, in percentage points; none with fewer than two.
        interval: Both ends of the 95% interval of the mean, in percent; none with fewer than three seeds, where a run
            diverged, or where the loss of a test row is not a number.
        rows: Test rows whose chance the interval holds; 0 where their losses were not recorded: then it holds the
            chance of the seeds alone.
        p_value: Of the two-sided sign-flip test over seeds; none without a pair, or with more than 20 seeds.
        smallest_p: The smallest p that so many seeds can give; none without a pair.
        direction: "lower" or "higher" where a difference is shown, otherwise "not shown".
        reason: Why a difference is not shown; empty where it is.
    """

    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean: float | None
    spread: float | None
    interval: tuple[float, float] | None
    rows: int
    p_value: float | None
    smallest_p: float | None
    direction: Literal["lower", "higher", "not shown"]
    reason: str


def pair(
    losses: Mapping[int, float | None],
    others: Mapping[int, float | None],
    rows: Mapping[int, RowLosses] | None = None,
    other_rows: Mapping[int, RowLosses] | None = None,
) -> Pairing:
    """Holds one method against another at the seeds that both have.

    Args:
        losses: Held-out loss of the method by seed; none where the run diverged.
        others: The same of the other method.
        rows: The method's losses on each test row by seed; a seed may be missing, or its losses empty.
        other_rows: The same of the other method, on the same rows.

    Returns:
        The differences, their interval and p, and their direction. A diverged run on either side leaves the direction
        "not shown": leaving it out would flatter the method that diverges.
    """
    shared = sorted(set(losses) & set(others))
    values = [(seed, losses[seed], others[seed]) for seed in shared]
    finite = [(seed, a, b) for seed, a, b in values if a is not None and b is not None]
    scale = mean([b for _, _, b in finite])
    differences = tuple(100 * (a - b) / scale for _, a, b in finite) if scale else ()
    seeds = tuple(seed for seed, _, _ in finite)
    diverged = len(shared) - len(finite)
    interval, count = None, 0
    if len(differences) >= SEEDS_NEEDED and not diverged:
        sums, other_sums = _sums(seeds, rows or {}), _sums(seeds, other_rows or {})
        if sums is not None and other_sums is not None:
            interval, count = paired_interval(differences, sums, other_sums), sums.shape[1]
        else:
            interval = paired_interval(differences)
    p = sign_flip_p(differences)
    least = smallest_p(len(differences)) if differences else None
    reason = _reason(differences, diverged, len(shared), interval, p)
    if interval is not None and not all(map(math.isfinite, interval)):
        interval, count = None, 0
    direction: Literal["lower", "higher", "not shown"] = "not shown"
    if not reason:
        direction = "lower" if math.fsum(differences) < 0 else "higher"
    middle, spread = mean(differences), deviation(differences)
    return Pairing(seeds, differences, middle, spread, interval, count, p, least, direction, reason)


class Judged(Protocol):
    """A method's held-out losses at its seeds, and what they are made of."""

    @property
    def seeds(self) -> Sequence[int]:
        """Its seeds."""

    @property
    def eval_losses(self) -> Sequence[float | None]:
        """Held-out loss at each of them; none where the run diverged."""

    @property
    def eval_row_losses(self) -> Sequence[RowLosses]:
        """The losses on each test row at each of them; empty where they were not recorded."""


def paired(method: Judged, other: Judged) -> Pairing:
    """Two methods held against each other, as `pair` has it."""
    return pair(
        dict(zip(method.seeds, method.eval_losses, strict=True)),
        dict(zip(other.seeds, other.eval_losses, strict=True)),
        dict(zip(method.seeds, method.eval_row_losses, strict=True)),
        dict(zip(other.seeds, other.eval_row_losses, strict=True)),
    )


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; none of nothing."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (denominator one less than the number); none of fewer than two values."""
    if len(values) < 2:
        return None
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def _reason(
    differences: tuple[float, ...], diverged: int, pairs: int, interval: tuple[float, float] | None, p: float | None
) -> str:
    """Why a difference is not shown: the rule; empty where it is shown."""
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
    """Summed losses, (seeds, rows that hold targets); none where a seed's are missing or there is but one row."""
    found = [[total for total, tokens in rows.get(seed, ()) if tokens] for seed in seeds]
    return np.array(found) if min(map(len, found)) > 1 else None
