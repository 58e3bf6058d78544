"""Scores of rows: their sums of losses, the loss over all of them, and its standard error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

CLEAR = 2.0
"""Standard errors that a gain must be above zero: shares of a smaller one mean nothing."""


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss of one model on one set of rows.

    It is the mean of -log p(token | tokens before it) over all target tokens, in nats, and its standard error is that
    over rows. `rows` has (sum of -log p, target tokens) of each row; one without targets is (0, 0), so that two models'
    rows can be paired.
    """

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
    # exp overflows above 709. Only a diverged run has such a loss, and its perplexity may as well be infinite.
    perplexity = math.exp(loss) if loss < 700 else math.inf
    return HeldOutLoss(loss, perplexity, sum(count for _, count in rows), error, rows)


def ratio(rows: Sequence[tuple[float, float]]) -> tuple[float, float | None]:
    """Return sum_i S_i / sum_i n_i and its standard error.

    The standard error is the jackknife's over the m rows with n_i > 0, a row of which holds the share h_i:

        se = sqrt( (m - 1) / m * sum_i ((S_i - ratio * n_i) / (1 - h_i))^2 ) / sum_i n_i,   h_i = n_i / sum_i n_i

    A long row pulls the ratio towards itself, and would look nearer to it than it is without the factor 1 / (1 - h_i).
    Where some n_i are negative, as gains may be, no row holds a share: the factor is m / (m - 1).

    `rows` has (S_i, n_i) of each row. The error is `None` if m < 2, or if one row holds all of the denominator.
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
