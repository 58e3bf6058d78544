"""Which methods go on after a rung of a successive halving, by paired losses on the validation rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qweft.comparison.judge.random_effects import Array, jackknife_rows
from qweft.comparison.results import Run
from qweft.core.text import many

ONE_SIDED = 0.95
"""Level of the one-sided bound on how far behind a method is."""
LEAST = 2
"""So many methods go on, if so many have a loss."""
LEAST_LOSS = 1e-9
"""A summed loss may be zero, of answers that are all alike."""


@dataclass(frozen=True)
class Standing:
    """One method after a rung; `behind` the leader in percent, and `bound`, the lower end of its interval."""

    method: str
    adapter: dict[str, Any]
    rate: float
    loss: float | None
    behind: float | None
    bound: float | None
    goes_on: bool

    @property
    def said(self) -> str:
        """Its name, and how far it is behind."""
        return f"{self.method} ({'diverged' if self.behind is None else f'{self.behind:+.1f}%'})"


@dataclass(frozen=True)
class Rung:
    """One round of runs; the leader stands first."""

    number: int
    steps: int
    seeds: tuple[int, ...]
    standings: tuple[Standing, ...]

    @property
    def leader(self) -> str:
        """Name of the method with the lowest loss."""
        return self.standings[0].method

    @property
    def going_on(self) -> list[str]:
        """Names of the methods that go on."""
        return [each.method for each in self.standings if each.goes_on]

    def said(self, rungs: int) -> str:
        """Return a line on it."""
        count, stopped = len(self.going_on), [each.said for each in self.standings if not each.goes_on]
        text = f"rung {self.number} of {rungs}, {many(self.steps, 'step')}: {self.leader} leads, "
        text += f"{many(count, 'method')} {'goes' if count == 1 else 'go'} on"
        return f"{text}; stopped: {', '.join(stopped)}" if stopped else text


def standings(runs: Mapping[str, Sequence[Run]], most: int) -> list[Standing]:
    """Return how the methods stand after a rung, the leader first; at most so many go on."""
    losses = {name: _mean(own) for name, own in runs.items()}
    order = sorted(runs, key=lambda name: losses[name])
    found, going = list[Standing](), 0
    for name in order:
        own, loss = runs[name], losses[name] if math.isfinite(losses[name]) else None
        behind, bound = (None, None) if loss is None else how_far_behind(own, runs[order[0]])
        goes_on = loss is not None and (going < LEAST or (going < most and not (bound and bound > 0)))
        going += goes_on
        found.append(Standing(name, own[0].adapter or {}, own[0].learning_rate or 0.0, loss, behind, bound, goes_on))
    return found


def _mean(runs: Sequence[Run]) -> float:
    """Return the mean loss; infinity if a run diverged."""
    return math.fsum(math.inf if run.eval_loss is None else run.eval_loss for run in runs) / len(runs)


def how_far_behind(runs: Sequence[Run], leaders: Sequence[Run]) -> tuple[float, float | None]:
    """Return how much higher the loss is than the leader's in percent, and the lower end of its one-sided interval.

    With the summed losses of row i, averaged over the seeds, D_i of the difference and B_i of the leader, and m rows or
    groups of dependent rows,

        behind = 100 sum_i D_i / sum_i B_i
        y_i = 100 m (D_i - behind / 100 B_i) / sum_i B_i * (1 - 1 / m) / (1 - h_i),   h_i = B_i / sum_i B_i
        bound = behind - t_(0.95, freedom) sqrt(sum_i y_i^2 / (m (m - 1))),   freedom = 1 / sum_i h_i^2 - 1
    """
    own, theirs = _by_row(runs), _by_row(leaders)
    behind = 100 * float((own - theirs).sum()) / max(float(theirs.sum()), LEAST_LOSS)
    if len(own) < 2 or theirs.sum() < LEAST_LOSS:
        return behind, None
    _, error = jackknife_rows((own - theirs)[None], theirs, behind)
    return behind, behind - error.half_width(2 * ONE_SIDED - 1)


def _by_row(runs: Sequence[Run]) -> Array:
    """Return the summed losses of the rows with targets, averaged over the runs."""
    return np.array([[total for total, tokens in run.independent_losses if tokens] for run in runs]).mean(0)
