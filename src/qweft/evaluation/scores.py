"""Numbers with their standard errors, and the difference between two models judged on the same rows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qweft.evaluation.loss import HeldOutLoss, ratio

Array = NDArray[np.float64]
DRAWS = 1000


@dataclass(frozen=True)
class Score:
    """One number of one model.

    Args:
        value: The number.
        standard_error: Over rows; none with fewer than two, or where there is no telling.
        rows: How many rows it is of.
    """

    value: float
    standard_error: float | None
    rows: int


@dataclass(frozen=True)
class Compared:
    """One score of the base model and of the adapted one.

    Args:
        name: What is scored.
        base: The base model's.
        adapted: The adapted model's.
        difference: Adapted less base, its error paired by rows.
        unit: "%" where values are shares or lie between 0 and 100, else what they are counted in, or empty.
        note: In words: what the name does not say.
    """

    name: str
    base: Score
    adapted: Score
    difference: Score
    unit: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)


def mean(values: Sequence[float]) -> Score:
    """The mean over rows and s / sqrt(n), with s their standard deviation (n - 1)."""
    n = len(values)
    found = math.fsum(values) / n
    if n < 2:
        return Score(found, None, n)
    return Score(found, math.sqrt(math.fsum((each - found) ** 2 for each in values) / (n - 1) / n), n)


def compare_means(
    name: str, base: Sequence[float], adapted: Sequence[float], unit: str = "", note: str = ""
) -> Compared:
    """Two models' means over the same rows; the difference is that of the rows' differences."""
    differences = [mine - theirs for mine, theirs in zip(adapted, base, strict=True)]
    return Compared(name, mean(base), mean(adapted), mean(differences), unit, note)


def compare_statistics(
    name: str, base: Array, adapted: Array, score: Callable[[Array], float], unit: str = "", note: str = ""
) -> Compared:
    """Two models' scores of all rows together, with errors by the bootstrap.

    The rows are drawn `DRAWS` times with replacement, the same for both models; an error is the standard deviation of
    what the score is over the draws. The draws are the same at every call.

    Args:
        name: What is scored.
        base: What each row adds to the base model's score, (rows, numbers).
        adapted: The same of the adapted model.
        score: From the sum of the rows' numbers to the score.
        unit: As in `Compared`.
        note: As in `Compared`.
    """
    rows = len(base)
    weights = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=DRAWS)
    drawn = [np.array([score(sums) for sums in weights @ each]) for each in (base, adapted)]
    values = [score(each.sum(0)) for each in (base, adapted)]

    def scored(value: float, draws: Array) -> Score:
        return Score(value, float(draws.std(ddof=1)) if rows > 1 else None, rows)

    difference = scored(values[1] - values[0], drawn[1] - drawn[0])
    return Compared(name, scored(values[0], drawn[0]), scored(values[1], drawn[1]), difference, unit, note)


def compare_losses(base: HeldOutLoss, adapted: HeldOutLoss, name: str = "loss", note: str = "") -> Compared:
    """Two models' losses on the same rows; the difference with the error of `ratio` over the rows' differences."""
    pairs = zip(adapted.rows, base.rows, strict=True)
    value, error = ratio([(mine - theirs, tokens) for (mine, tokens), (theirs, _) in pairs])
    rows = sum(tokens > 0 for _, tokens in base.rows)
    mine, theirs = (Score(each.loss, each.standard_error, rows) for each in (adapted, base))
    return Compared(name, theirs, mine, Score(value, error, rows), "nats a token", note)


def compare_perplexities(base: HeldOutLoss, adapted: HeldOutLoss) -> Compared:
    """Two models' perplexities, whose errors are those of the losses times exp(loss), to first order."""
    rows = sum(tokens > 0 for _, tokens in base.rows)
    scores = [
        Score(each.perplexity, None if each.standard_error is None else each.perplexity * each.standard_error, rows)
        for each in (base, adapted)
    ]
    # what a row adds to the difference: its loss beyond the mean, times the perplexity, of one less that of the other
    pairs = zip(adapted.rows, base.rows, strict=True)
    deviations = [
        (adapted.perplexity * (mine - adapted.loss * tokens) - base.perplexity * (theirs - base.loss * tokens), tokens)
        for (mine, tokens), (theirs, _) in pairs
    ]
    _, error = ratio(deviations) if math.isfinite(adapted.perplexity) else (0.0, None)
    difference = Score(adapted.perplexity - base.perplexity, error, rows)
    return Compared("perplexity", scores[0], scores[1], difference)
