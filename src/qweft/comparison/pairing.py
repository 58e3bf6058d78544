"""Two methods held against each other seed by seed, and when a difference may be said to be shown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SEEDS_NEEDED = 3
"""Fewer seeds than this show nothing, whatever their differences are."""


@dataclass(frozen=True)
class Pairing:
    """The paired differences of two methods' held-out losses.

    With loss a_k of the method and b_k of the other one at seed k, the same data order for both:

        difference_k = 100 * (a_k - b_k) / mean(b),   mean over the seeds that both have

    Args:
        seeds: The seeds that both have.
        differences: In percent, one a seed; below zero where the method's loss is lower.
        mean: Their mean, in percent; none without a pair.
        spread: Their sample standard deviation, in percentage points; none with fewer than two.
        direction: "lower" or "higher" where at least three seeds agree on the sign, otherwise "not shown".
        reason: Why a difference is not shown; empty where it is.
    """

    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean: float | None
    spread: float | None
    direction: Literal["lower", "higher", "not shown"]
    reason: str


def pair(losses: Mapping[int, float | None], others: Mapping[int, float | None]) -> Pairing:
    """Holds one method against another at the seeds that both have.

    Args:
        losses: Held-out loss of the method by seed; none where the run diverged.
        others: The same of the other method.

    Returns:
        The differences and their direction. A diverged run on either side leaves the direction "not shown": leaving
        it out would flatter the method that diverges.
    """
    shared = sorted(set(losses) & set(others))
    values = [(seed, losses[seed], others[seed]) for seed in shared]
    finite = [(seed, a, b) for seed, a, b in values if a is not None and b is not None]
    scale = mean([b for _, _, b in finite])
    differences = tuple(100 * (a - b) / scale for _, a, b in finite) if scale else ()
    direction: Literal["lower", "higher", "not shown"] = "not shown"
    diverged = len(shared) - len(finite)
    if diverged:
        reason = f"{diverged} of {len(shared)} pairs diverged"
    elif not differences:
        reason = "there is no seed that both have"
    elif all(d == 0 for d in differences):
        reason = "the losses are equal"
    elif not (all(d < 0 for d in differences) or all(d > 0 for d in differences)):
        reason = "the seeds do not agree on the sign" if len(differences) >= SEEDS_NEEDED else _too_few(differences)
    elif len(differences) < SEEDS_NEEDED:
        reason = _too_few(differences)
    else:
        reason = ""
        direction = "lower" if differences[0] < 0 else "higher"
    seeds = tuple(seed for seed, _, _ in finite)
    return Pairing(seeds, differences, mean(differences), deviation(differences), direction, reason)


def mean(values: "list[float] | tuple[float, ...]") -> float | None:
    """Arithmetic mean; none of nothing."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: "list[float] | tuple[float, ...]") -> float | None:
    """Sample standard deviation (denominator one less than the number); none of fewer than two values."""
    if len(values) < 2:
        return None
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def _too_few(differences: tuple[float, ...]) -> str:
    """Why one or two seeds are not enough."""
    return f"{len(differences)} seed{'s' if len(differences) > 1 else ''} of at least {SEEDS_NEEDED} needed"
