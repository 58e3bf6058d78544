"""Scores of rows and of models with their standard errors, and differences between two models on the same rows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DRAWS = 1000
CLEAR = 2.0
"""Standard errors that a gain must be above zero: shares of a smaller one mean nothing."""


@dataclass(frozen=True)
class HeldOutLoss:
    """A loss in nats a target token, its standard error over rows, and (sum of -log p, targets) of each row."""

    loss: float
    perplexity: float
    tokens: int
    standard_error: float | None
    rows: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class RowScore:
    """A row's sum of -log p over its targets, in nats, and the most probable token at each target."""

    total: float
    predicted: tuple[int, ...]

    @property
    def targets(self) -> int:
        """Number of targets in the row."""
        return len(self.predicted)


def loss_of(scores: Sequence[RowScore]) -> HeldOutLoss:
    """Return the loss over scored rows."""
    rows = tuple((score.total, score.targets) for score in scores)
    loss, error = ratio(rows)
    perplexity = math.exp(loss) if loss < 700 else math.inf  # exp overflows above 709
    return HeldOutLoss(loss, perplexity, sum(count for _, count in rows), error, rows)


def ratio(rows: Sequence[tuple[float, float]]) -> tuple[float, float | None]:
    """Return sum_i S_i / sum_i n_i and its standard error.

    The standard error is the jackknife's over the m rows with n_i > 0, a row of which holds the share h_i:

        se = sqrt( (m - 1) / m * sum_i ((S_i - ratio * n_i) / (1 - h_i))^2 ) / sum_i n_i,   h_i = n_i / sum_i n_i

    `rows` has (S_i, n_i) of each row. Where some n_i are negative, as gains may be, h_i is 1 / m. The error is `None`
    if m < 2, or if one row holds all of the denominator.
    """
    scored = [(total, count) for total, count in rows if count]
    tokens, m = sum(count for _, count in scored), len(scored)
    found = math.fsum(total for total, _ in scored) / tokens
    if m < 2 or any(count == tokens for _, count in scored):
        return found, None
    are_shares = all(count > 0 for _, count in scored)
    rest = [1 - (count / tokens if are_shares else 1 / m) for _, count in scored]
    squares = math.fsum(((s - found * n) / each) ** 2 for (s, n), each in zip(scored, rest, strict=True))
    return found, math.sqrt((m - 1) / m * squares) / tokens


@dataclass(frozen=True)
class Score:
    """A score of one model; its standard error over rows is `None` for fewer than two rows, or if it is unknown."""

    value: float
    standard_error: float | None
    rows: int


@dataclass(frozen=True)
class Compared:
    """One score of both models, and adapted minus base, with an error paired by rows; the unit is "%" from 0 to 100."""

    name: str
    base: Score
    adapted: Score
    difference: Score
    unit: str = ""
    note: str = ""


def mean(values: Sequence[float]) -> Score:
    """Return the mean over n rows and its standard error s / sqrt(n); s is the sample standard deviation (n - 1)."""
    n = len(values)
    found = math.fsum(values) / n
    if n < 2:
        return Score(found, None, n)
    return Score(found, math.sqrt(math.fsum((each - found) ** 2 for each in values) / (n - 1) / n), n)


def compare_means(
    name: str, base: Sequence[float], adapted: Sequence[float], unit: str = "", note: str = ""
) -> Compared:
    """Compare two models' means over the same rows; the difference is the mean of the rows' differences."""
    differences = [mine - theirs for mine, theirs in zip(adapted, base, strict=True)]
    return Compared(name, mean(base), mean(adapted), mean(differences), unit, note)


def compare_statistics(
    name: str, base: Array, adapted: Array, score: Callable[[Array], float], unit: str = "", note: str = ""
) -> Compared:
    """Compare two models by a score of the sums over rows of statistics (rows, k), with bootstrap standard errors."""
    rows = len(base)
    weights = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=DRAWS)
    drawn = [np.array([score(sums) for sums in weights @ each]) for each in (base, adapted)]
    values = [score(each.sum(0)) for each in (base, adapted)]

    def scored(value: float, draws: Array) -> Score:
        return Score(value, float(draws.std(ddof=1)) if rows > 1 else None, rows)

    difference = scored(values[1] - values[0], drawn[1] - drawn[0])
    return Compared(name, scored(values[0], drawn[0]), scored(values[1], drawn[1]), difference, unit, note)


def compare_losses(base: HeldOutLoss, adapted: HeldOutLoss, name: str = "loss", note: str = "") -> Compared:
    """Compare two models' losses on the same rows; `ratio` over the rows' differences gives the error."""
    pairs = zip(adapted.rows, base.rows, strict=True)
    value, error = ratio([(mine - theirs, tokens) for (mine, tokens), (theirs, _) in pairs])
    rows = sum(tokens > 0 for _, tokens in base.rows)
    mine, theirs = (Score(each.loss, each.standard_error, rows) for each in (adapted, base))
    return Compared(name, theirs, mine, Score(value, error, rows), "nats a token", note)


def compare_perplexities(base: HeldOutLoss, adapted: HeldOutLoss) -> Compared:
    """Compare two models' perplexities; standard errors are to first order: exp(loss) times that of the loss."""
    rows = sum(tokens > 0 for _, tokens in base.rows)
    scores = [
        Score(each.perplexity, None if each.standard_error is None else each.perplexity * each.standard_error, rows)
        for each in (base, adapted)
    ]
    # each row's share of the difference to first order: perplexity times deviation from the mean loss
    pairs = zip(adapted.rows, base.rows, strict=True)
    deviations = [
        (adapted.perplexity * (mine - adapted.loss * tokens) - base.perplexity * (theirs - base.loss * tokens), tokens)
        for (mine, tokens), (theirs, _) in pairs
    ]
    _, error = ratio(deviations) if math.isfinite(adapted.perplexity + base.perplexity) else (0.0, None)
    difference = Score(adapted.perplexity - base.perplexity, error, rows)
    return Compared("perplexity", scores[0], scores[1], difference)
