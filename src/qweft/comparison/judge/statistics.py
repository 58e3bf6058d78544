"""Paired comparison of two methods: when a difference is shown, and the sign-flip test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Literal

import numpy as np

from qweft.comparison.judge.random_effects import Array, errors_of
from qweft.comparison.results import RowLosses

SEEDS_NEEDED = 3
"""With fewer paired seeds than this, no difference is shown."""

LARGEST_P = 0.05
"""Largest sign-flip p of a difference that is shown, enforced from six seeds on, where the test can reach it."""

MOST_EXACT = 20
"""Largest number of differences for which all sign patterns are counted: 2^20 sums."""

LONE = "the test rows are one row or one group, which tells nothing of others"
"""Why nothing is shown of such rows."""

Direction = Literal["lower", "higher", "equivalent", "not decided"]


@dataclass(frozen=True)
class Look:
    """How one question of a comparison is judged, at look `number` of `planned` ones at the data."""

    p_value: float | None = None  # of a difference, corrected for the family of questions; `None` if it stands alone
    level: float = 0.05  # of differences, and of equivalences
    seeds: tuple[int, ...] | None = None  # all if `None`
    number: int = 1
    planned: int = 1
    equivalence_p: float | None = None  # of equivalence, corrected likewise


ONCE = Look()


@dataclass(frozen=True)
class Pairing:
    """Paired differences 100 (a_k - b_k) / mean(b) of two methods' losses, judged as in docs/statistics.md."""

    seeds: tuple[int, ...]  # at which both have a finite loss
    differences: tuple[float, ...]  # percent; below zero where the method is lower
    mean: float | None
    interval: tuple[float, float] | None = None  # 95%; `None`, like p and visible, where `reason` says why
    visible: float | None = None  # smallest difference in percent shown with 80% power at 5% two-sided
    rows: int = 0  # test rows whose sampling error the interval covers
    p_value: float | None = None
    corrected: float | None = None  # `p_value`, corrected for the family of questions
    sign_flip: float | None = None  # `None` without a pair, or with more than 20
    direction: Direction = "not decided"
    reason: str = ""  # why a difference is not shown; empty if it is
    margin: float | None = None  # of equivalence, in percent
    widest: float | None = None  # far end of the 1 - 2 * level interval, in percent of either loss
    equivalence_p: float | None = None  # largest p of the two one-sided tests; `None` without a margin
    corrected_equivalence_p: float | None = None  # corrected for the family of questions
    look: Look = ONCE
    diverged: int = 0  # seeds at which a run of either method diverged

    @property
    def room(self) -> float | None:
        """By how many percent the difference could be another one and the claim hold; `None` without a claim."""
        if self.direction == "equivalent" and self.widest is not None and self.margin is not None:
            return self.margin - self.widest
        if self.direction in ("lower", "higher") and self.interval is not None:
            return max(0.0, min(map(abs, self.interval)))
        return None


def pair(
    losses: Mapping[int, float | None],
    others: Mapping[int, float | None],
    rows: Mapping[int, RowLosses] | None = None,
    other_rows: Mapping[int, RowLosses] | None = None,
    margin: float | None = None,
    look: Look = ONCE,
) -> Pairing:
    """Compare two methods at the seeds that both have."""
    rows, other_rows = rows or {}, other_rows or {}
    shared = sorted(seed for seed in losses.keys() & others.keys() if look.seeds is None or seed in look.seeds)
    values = {seed: (losses[seed], others[seed]) for seed in shared}
    finite = {seed: (a, b) for seed, (a, b) in values.items() if a is not None and b is not None}
    seeds, differences = tuple(finite), _in_percent(list(finite.values()))
    diverged = {seed for each in (losses, others) for seed, loss in each.items() if loss is None}
    middle, flip = mean(differences), sign_flip_p(differences)
    found = Pairing(seeds, differences, middle, sign_flip=flip, margin=margin, look=look)
    if diverged:
        lost = f"a run diverged at {len(diverged)} of {len({*losses, *others})} seeds"
        return replace(found, reason=lost, diverged=len(diverged))
    if middle is None:
        return replace(found, reason="the other method's loss is zero" if shared else "there is no seed that both have")
    equal = "" if any(differences) else "the losses are equal"
    if len(differences) < SEEDS_NEEDED:
        return replace(found, reason=equal or f"at least {SEEDS_NEEDED} seeds are needed")
    if _is_lone(rows) or _is_lone(other_rows):
        return replace(found, reason=equal or LONE)
    sums, other_sums = _sums(seeds, rows), _sums(seeds, other_rows)
    if sums is None or other_sums is None:
        sums = other_sums = None
    errors = errors_of(differences, sums, other_sums)
    if not errors.finite:
        return replace(found, reason=equal or "the loss of a test row is not a number")
    p = errors.p_value(middle)
    corrected = p if look.p_value is None else look.p_value
    reason = equal or _doubt(p, corrected, flip, len(differences), look)
    direction: Direction = "not decided" if reason else "lower" if middle < 0 else "higher"
    widest = equivalence_p = corrected_equivalence_p = None
    turned = _in_percent([(b, a) for a, b in finite.values()])
    if margin is not None and turned:
        # in percent of either method's loss, so that a pair is equivalent in both orders or in none
        back, turned_middle = errors_of(turned, other_sums, sums), fmean(turned)
        level = 1 - 2 * look.level  # two one-sided tests (Schuirmann 1987)
        widest = max(map(abs, (*errors.interval(middle, level), *back.interval(turned_middle, level))))
        equivalence_p = max(errors.equivalence_p(middle, margin), back.equivalence_p(turned_middle, margin))
        corrected_equivalence_p = equivalence_p if look.equivalence_p is None else look.equivalence_p
        if corrected_equivalence_p <= look.level:
            direction = "equivalent"
    return replace(
        found,
        interval=errors.interval(middle),
        visible=None if equal else errors.visible(),
        rows=0 if sums is None else sums.shape[1],
        p_value=p,
        corrected=corrected,
        direction=direction,
        reason=reason,
        widest=widest,
        equivalence_p=equivalence_p,
        corrected_equivalence_p=corrected_equivalence_p,
    )


def _doubt(p: float, corrected: float, flip: float | None, seeds: int, look: Look) -> str:
    """Return why a difference is not shown under the rule of `Pairing`; empty if it is shown."""
    if corrected > look.level:
        return f"{'p' if p > look.level else 'the corrected p'} is above {look.level:.4g}"
    if flip is not None and flip > LARGEST_P >= 2.0 ** (1 - seeds):  # the smallest p of so many seeds
        return f"the sign-flip p is above {LARGEST_P}"
    return ""


def _in_percent(losses: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Return the differences of pairs of losses in percent of the mean of the second ones; empty if that is 0."""
    scale = mean([other for _, other in losses])
    return tuple(100 * (own - other) / scale for own, other in losses) if scale else ()


def mean(values: Sequence[float]) -> float | None:
    """Return the arithmetic mean, or `None` without values."""
    return fmean(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (denominator n - 1), or `None` with fewer than two values."""
    return stdev(values) if len(values) > 1 else None


def _is_lone(rows: Mapping[int, RowLosses]) -> bool:
    """Whether the test rows are a single one, or a single group, wherever they were recorded."""
    return {sum(bool(tokens) for _, tokens in each) for each in rows.values() if each} == {1}


def _sums(seeds: tuple[int, ...], rows: Mapping[int, RowLosses]) -> Array | None:
    """Return summed losses, (seeds, rows with targets); `None` if a seed has fewer than two such rows."""
    found = [[total for total, tokens in rows.get(seed, ()) if tokens] for seed in seeds]
    return np.array(found) if min(map(len, found)) > 1 else None


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Return the share of the 2^n sign patterns with |sum_k (+-)_k d_k| >= |sum_k d_k|, p of the sign-flip test."""
    if not 0 < len(differences) <= MOST_EXACT:
        return None
    sums = np.array(differences[:1])  # the first sign can stay fixed: flipping all signs leaves |.| unchanged
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    # Sums that are equal in exact arithmetic differ by rounding.
    rounding = 1e-9 * float(np.abs(differences).sum())
    return float(np.mean(np.abs(sums) >= abs(sum(differences)) - rounding))


NO_PAIR = pair({}, {})
"""The pairing of methods that were not compared."""
