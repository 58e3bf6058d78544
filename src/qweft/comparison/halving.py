"""Which methods go on after a rung of a successive halving, by paired losses on the validation rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qweft.comparison.random_effects import jackknifed, quantile
from qweft.comparison.results import Run
from qweft.text import many

ONE_SIDED = 0.95
"""Level of the one-sided bound on how far behind a method is."""
LEAST = 2
"""So many methods go on, if so many have a loss."""


@dataclass(frozen=True)
class Standing:
    """One method after a rung; `behind` the leader in percent, and `bound`, the lower end of its interval."""

    method: str
    adapter: dict[str, Any]
    rate: float
    loss: float | None
    behind: float | None = None
    bound: float | None = None
    goes_on: bool = False

    @property
    def is_behind(self) -> bool:
        """Whether it is behind the leader by more than the chance of the rows."""
        return self.bound is not None and self.bound > 0


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
        count, stopped = len(self.going_on), []
        for each in self.standings:
            if not each.goes_on:
                sure = ", beyond the chance of the rows" if each.is_behind else ""
                reason = "diverged" if each.behind is None else f"{each.behind:+.1f}%{sure}"
                stopped.append(f"{each.method} ({reason})")
        text = f"rung {self.number} of {rungs}, {many(self.steps, 'step')}: {self.leader} leads, "
        text += f"{many(count, 'method')} {'goes' if count == 1 else 'go'} on"
        return f"{text}; stopped: {', '.join(stopped)}" if stopped else text


def standings(runs: Mapping[str, Sequence[Run]], most: int) -> list[Standing]:
    """Return how the methods stand after a rung, the leader first; at most so many go on."""
    losses = {name: _mean(own) for name, own in runs.items()}
    order = sorted(runs, key=lambda name: losses[name])
    found: list[Standing] = []
    for name in order:
        own = runs[name]
        standing = Standing(name, own[0].adapter or {}, own[0].learning_rate or 0.0, None)
        if math.isfinite(losses[name]):
            behind, bound = how_far_behind(own, runs[order[0]])
            standing = replace(standing, loss=losses[name], behind=behind, bound=bound)
            going = sum(each.goes_on for each in found)
            standing = replace(standing, goes_on=going < LEAST or (going < most and not standing.is_behind))
        found.append(standing)
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
    if own is None or theirs is None or own.shape != theirs.shape or not theirs.sum() > 0:
        ours, best = _mean(runs), _mean(leaders)
        return 100 * (ours - best) / (best or ours or 1.0), None  # a loss may be zero, of answers that are all alike
    behind = 100 * float((own - theirs).sum()) / float(theirs.sum())
    if len(own) < 2:
        return behind, None
    _, error, freedom = jackknifed((own - theirs)[None], theirs, behind)
    return behind, behind - quantile(2 * ONE_SIDED - 1, freedom) * error if math.isfinite(error) else None


def _by_row(runs: Sequence[Run]) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Return the summed losses of the rows with targets, averaged over the runs; `None` if they were not recorded."""
    rows = [[total for total, tokens in run.independent_losses if tokens] for run in runs]
    if not rows or not rows[0] or len(set(map(len, rows))) > 1:
        return None
    return np.array(rows, dtype=np.float64).mean(0)
