"""Paired comparison of two methods' held-out losses: the tests of a difference and of equivalence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Literal

import numpy as np

from qweft.comparison.judge.random_effects import Array, StandardErrors, crossed_standard_errors
from qweft.comparison.results import RowLosses

SEEDS_NEEDED = 3
"""With fewer paired seeds than this, nothing is tested."""

SIGNIFICANCE_LEVEL = 0.05
"""Level of all interim analyses together; also of the sign-flip test, from six seeds on, where it can reach it."""

MOST_EXACT = 20
"""Largest number of differences for which all sign patterns are counted: 2^20 sums."""

EQUAL = "the losses are equal"
SINGLE_ROW = "the test rows are one row or one group, which tells nothing of others"

Direction = Literal["lower", "higher", "equivalent", "not decided"]


@dataclass(frozen=True)
class InterimAnalysis:
    """How one question is judged, at analysis `number` of `planned` ones, between which seeds are added."""

    p_value: float | None = None  # of a difference, corrected for the family of questions; `None` if it stands alone
    level: float = SIGNIFICANCE_LEVEL  # of differences, and of equivalences
    seeds: tuple[int, ...] | None = None  # all if `None`
    number: int = 1
    planned: int = 1
    equivalence_p: float | None = None  # of equivalence, corrected likewise


SINGLE_ANALYSIS = InterimAnalysis()
"""All seeds, once, and no other question."""


@dataclass(frozen=True)
class SeedLosses:
    """One method's held-out losses by seed."""

    totals: Mapping[int, float | None]  # nats per token; `None` if the run diverged
    rows: Mapping[int, RowLosses] = field(default_factory=dict)  # where recorded


@dataclass(frozen=True)
class PairedLosses:
    """Two methods' held-out losses at the seeds at which both have a finite one."""

    seeds: tuple[int, ...]
    losses: tuple[float, ...]
    reference_losses: tuple[float, ...]
    rows: tuple[RowLosses, ...] = ()
    reference_rows: tuple[RowLosses, ...] = ()
    diverged: int = 0  # seeds at which a run of either method diverged
    all_seeds: int = 0  # at which either method ran
    is_single_row: bool = False  # whether the test rows are a single one, or a single group

    @property
    def differences(self) -> tuple[float, ...]:
        """100 (a_k - b_k) / mean(b) at each seed, in percent of the reference's mean loss b; empty if that is zero."""
        scale = fmean(self.reference_losses) if self.reference_losses else 0.0
        if not scale:
            return ()
        pairs = zip(self.losses, self.reference_losses, strict=True)
        return tuple(100 * (loss - reference) / scale for loss, reference in pairs)

    @property
    def mean(self) -> float | None:
        """Mean difference in percent; `None` without any."""
        differences = self.differences
        return fmean(differences) if differences else None

    @property
    def are_equal(self) -> bool:
        """Whether the losses are equal at each seed."""
        return self.losses == self.reference_losses

    def swapped(self) -> "PairedLosses":
        """Return the same pair with the method as the reference."""
        return PairedLosses(self.seeds, self.reference_losses, self.losses, self.reference_rows, self.rows)


@dataclass(frozen=True)
class DifferenceTest:
    """Test of the hypothesis that there is no difference."""

    interval: tuple[float, float]  # 95%, in percent, not corrected
    p_value: float
    corrected_p: float  # for the family of questions
    minimum_detectable_effect: float | None  # in percent, with 80% power at 5%; `None` if the losses are equal
    rows: int  # test rows whose sampling error the interval covers
    reason: str = ""  # why the difference is not significant; empty if it is

    @property
    def is_significant(self) -> bool:
        """Whether chance does not explain the difference."""
        return not self.reason


@dataclass(frozen=True)
class EquivalenceTest:
    """Two one-sided tests of the hypothesis that the difference is the margin or larger, on either side."""

    margin: float  # in percent
    p_value: float
    corrected_p: float  # for the family of questions
    level: float
    farthest: float  # end of the interval of 1 - 2 * level, in percent of either method's loss

    @property
    def are_equivalent(self) -> bool:
        """Whether the difference lies within the margin."""
        return self.corrected_p <= self.level


@dataclass(frozen=True)
class PairedComparison:
    """How two methods compare, by the rules of docs/statistics.md."""

    paired: PairedLosses
    analysis: InterimAnalysis = SINGLE_ANALYSIS
    obstacle: str = ""  # why nothing is tested; empty if it is
    difference: DifferenceTest | None = None
    equivalence: EquivalenceTest | None = None  # `None` without a margin

    @property
    def mean(self) -> float | None:
        """Mean difference in percent of the reference's loss, below zero where the method's is lower."""
        return self.paired.mean

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the mean difference."""
        return None if self.difference is None else self.difference.interval

    @property
    def minimum_detectable_effect(self) -> float | None:
        """Difference in percent that this question alone finds with 80% power at 5%."""
        return None if self.difference is None else self.difference.minimum_detectable_effect

    @property
    def direction(self) -> Direction:
        """The answer: equivalence comes first, then a significant difference."""
        if self.equivalence is not None and self.equivalence.are_equivalent:
            return "equivalent"
        if self.difference is None or not self.difference.is_significant:
            return "not decided"
        return "lower" if (self.mean or 0.0) < 0 else "higher"

    @property
    def reason(self) -> str:
        """Why the difference is not significant; empty if it is."""
        return self.obstacle if self.difference is None else self.difference.reason

    @property
    def room(self) -> float | None:
        """By how many percent the difference could be another one and the claim hold; `None` without a claim."""
        if self.direction == "not decided":
            return None
        if self.direction == "equivalent" and self.equivalence is not None:
            return self.equivalence.margin - self.equivalence.farthest
        return max(0.0, min(map(abs, self.interval or (0.0,))))

    def to_json(self) -> dict[str, Any]:
        """Return it as in results.json."""
        record = {
            "seeds": self.paired.seeds,
            "differences": self.paired.differences,
            "mean": self.mean,
            "interval": self.interval,
            "visible": self.minimum_detectable_effect,
            "rows": 0,
            "p_value": None,
            "corrected": None,
            "sign_flip": sign_flip_p(self.paired.differences),
            "direction": self.direction,
            "reason": self.reason,
            "margin": None,
            "widest": None,
            "equivalence_p": None,
            "corrected_equivalence_p": None,
            "look": asdict(self.analysis),
            "diverged": self.paired.diverged,
        }
        if self.difference is not None:
            record["rows"] = self.difference.rows
            record["p_value"] = self.difference.p_value
            record["corrected"] = self.difference.corrected_p
        if self.equivalence is not None:
            record["margin"] = self.equivalence.margin
            record["widest"] = self.equivalence.farthest
            record["equivalence_p"] = self.equivalence.p_value
            record["corrected_equivalence_p"] = self.equivalence.corrected_p
        return record


def compare_losses(
    method: SeedLosses,
    reference: SeedLosses,
    analysis: InterimAnalysis = SINGLE_ANALYSIS,
    margin: float | None = None,
) -> PairedComparison:
    """Compare two methods' held-out losses at the seeds that both have, in percent of the reference's mean loss."""
    paired = pair_by_seed(method, reference, analysis.seeds)
    if obstacle := find_obstacle(paired):
        return PairedComparison(paired, analysis, obstacle)
    errors = crossed_standard_errors(paired.differences, *_summed_rows(paired))
    if not errors.are_finite:
        obstacle = EQUAL if paired.are_equal else "the loss of a test row is not a number"
        return PairedComparison(paired, analysis, obstacle)
    difference = test_difference(paired, errors, analysis)
    equivalence = None if margin is None else test_equivalence(paired, errors, analysis, margin)
    return PairedComparison(paired, analysis, "", difference, equivalence)


def pair_by_seed(method: SeedLosses, reference: SeedLosses, seeds: Sequence[int] | None = None) -> PairedLosses:
    """Return the losses at the seeds at which both methods have a finite one; `seeds` limits them to some."""
    shared = method.totals.keys() & reference.totals.keys()
    if seeds is not None:
        shared &= set(seeds)
    finite: list[tuple[int, float, float]] = []
    for seed in sorted(shared):
        loss, reference_loss = method.totals[seed], reference.totals[seed]
        if loss is not None and reference_loss is not None:
            finite.append((seed, loss, reference_loss))
    diverged = {seed for losses in (method, reference) for seed, loss in losses.totals.items() if loss is None}
    return PairedLosses(
        seeds=tuple(seed for seed, _, _ in finite),
        losses=tuple(loss for _, loss, _ in finite),
        reference_losses=tuple(loss for _, _, loss in finite),
        rows=tuple(method.rows.get(seed, ()) for seed, _, _ in finite),
        reference_rows=tuple(reference.rows.get(seed, ()) for seed, _, _ in finite),
        diverged=len(diverged),
        all_seeds=len(method.totals.keys() | reference.totals.keys()),
        is_single_row=_is_single_row(method) or _is_single_row(reference),
    )


def _is_single_row(losses: SeedLosses) -> bool:
    """Whether one row alone, or one group, has targets, wherever rows were recorded."""
    counts = {sum(tokens > 0 for _, tokens in rows) for rows in losses.rows.values() if rows}
    return counts == {1}


def find_obstacle(paired: PairedLosses) -> str:
    """Return why a pair cannot be tested; empty if it can."""
    # A run that diverged counts at whichever seed: to leave it out would flatter its method.
    if paired.diverged:
        return f"a run diverged at {paired.diverged} of {paired.all_seeds} seeds"
    if not paired.seeds:
        return "there is no seed that both have"
    if not paired.differences:
        return "the other method's loss is zero"
    if len(paired.seeds) < SEEDS_NEEDED:
        return EQUAL if paired.are_equal else f"at least {SEEDS_NEEDED} seeds are needed"
    if paired.is_single_row:
        return EQUAL if paired.are_equal else SINGLE_ROW
    return ""


def _summed_rows(paired: PairedLosses) -> tuple[Array, Array] | tuple[None, None]:
    """Return both methods' summed losses, (seeds, rows with targets); none if a seed has fewer than two such rows."""
    tables = []
    for seeds in (paired.rows, paired.reference_rows):
        table = [[total for total, tokens in rows if tokens] for rows in seeds]
        if min(map(len, table)) < 2:
            return None, None
        tables.append(np.array(table))
    return tables[0], tables[1]


def test_difference(paired: PairedLosses, errors: StandardErrors, analysis: InterimAnalysis) -> DifferenceTest:
    """Test whether chance explains the difference."""
    mean = paired.mean or 0.0
    p_value = errors.difference_p(mean)
    corrected_p = p_value if analysis.p_value is None else analysis.p_value
    reason = _explain_chance(paired, p_value, corrected_p, analysis.level)
    effect = None if paired.are_equal else errors.minimum_detectable_effect()
    return DifferenceTest(errors.interval(mean), p_value, corrected_p, effect, errors.rows, reason)


def _explain_chance(paired: PairedLosses, p_value: float, corrected_p: float, level: float) -> str:
    """Return why a difference is not significant; empty if it is."""
    if paired.are_equal:
        return EQUAL
    if corrected_p > level:
        return f"{'p' if p_value > level else 'the corrected p'} is above {level:.4g}"
    sign_flip = sign_flip_p(paired.differences)
    least_p = 2.0 ** (1 - len(paired.seeds))
    if sign_flip is not None and sign_flip > SIGNIFICANCE_LEVEL >= least_p:
        return f"the sign-flip p is above {SIGNIFICANCE_LEVEL}"
    return ""


def test_equivalence(
    paired: PairedLosses, errors: StandardErrors, analysis: InterimAnalysis, margin: float
) -> EquivalenceTest | None:
    """Test whether the difference lies within the margin; `None` if the method's loss is zero.

    It is tested in percent of either method's loss, so that a pair is equivalent in both orders or in none.
    """
    swapped = paired.swapped()
    if not swapped.differences:
        return None
    swapped_errors = crossed_standard_errors(swapped.differences, *_summed_rows(swapped))
    p_value, farthest = 0.0, 0.0
    for mean, direction_errors in ((paired.mean, errors), (swapped.mean, swapped_errors)):
        p_value = max(p_value, direction_errors.equivalence_p(mean or 0.0, margin))
        ends = direction_errors.interval(mean or 0.0, 1 - 2 * analysis.level)
        farthest = max(farthest, *map(abs, ends))
    corrected_p = p_value if analysis.equivalence_p is None else analysis.equivalence_p
    return EquivalenceTest(margin, p_value, corrected_p, analysis.level, farthest)


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Return p of the sign-flip test: the share of the 2^n sign patterns with |sum_k (+-)_k d_k| >= |sum_k d_k|."""
    if not 0 < len(differences) <= MOST_EXACT:
        return None
    sums = np.array(differences[:1])  # the first sign can stay fixed: flipping all signs leaves |.| unchanged
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    # Sums that are equal in exact arithmetic differ by rounding.
    rounding = 1e-9 * float(np.abs(differences).sum())
    return float(np.mean(np.abs(sums) >= abs(sum(differences)) - rounding))


NOT_COMPARED = compare_losses(SeedLosses({}), SeedLosses({}))
"""Of methods that were not compared."""
