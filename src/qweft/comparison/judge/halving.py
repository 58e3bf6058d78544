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

    def describe(self) -> str:
        """Return its name, and how far it is behind."""
        distance = "diverged" if self.behind is None else f"{self.behind:+.1f}%"
        return f"{self.method} ({distance})"


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
    def remaining(self) -> list[str]:
        """Names of the methods that go on."""
        return [standing.method for standing in self.standings if standing.goes_on]

    def describe(self, rungs: int) -> str:
        """Return a line on it."""
        count = len(self.remaining)
        line = (
            f"rung {self.number} of {rungs}, {many(self.steps, 'step')}: {self.leader} leads, "
            f"{many(count, 'method')} {'goes' if count == 1 else 'go'} on"
        )
        stopped = [standing.describe() for standing in self.standings if not standing.goes_on]
        return f"{line}; stopped: {', '.join(stopped)}" if stopped else line


def standings(runs: Mapping[str, Sequence[Run]], most: int) -> list[Standing]:
    """Return how the methods stand after a rung, the leader first; at most so many go on."""
    losses = {name: _mean_loss(method_runs) for name, method_runs in runs.items()}
    ranking = sorted(runs, key=lambda name: losses[name])
    leader_runs = runs[ranking[0]]
    ranked: list[Standing] = []
    going_on = 0
    for name in ranking:
        loss = losses[name] if math.isfinite(losses[name]) else None
        behind = bound = None
        goes_on = False
        if loss is not None:
            behind, bound = how_far_behind(runs[name], leader_runs)
            is_shown_worse = bound is not None and bound > 0
            goes_on = going_on < LEAST or (going_on < most and not is_shown_worse)
        going_on += goes_on
        first = runs[name][0]
        ranked.append(Standing(name, first.adapter or {}, first.learning_rate or 0.0, loss, behind, bound, goes_on))
    return ranked


def _mean_loss(runs: Sequence[Run]) -> float:
    """Return the mean loss; infinity if a run diverged."""
    return math.fsum(math.inf if run.eval_loss is None else run.eval_loss for run in runs) / len(runs)


def how_far_behind(runs: Sequence[Run], leader_runs: Sequence[Run]) -> tuple[float, float | None]:
    """Return how much higher the loss is than the leader's in percent, and the lower end of its one-sided interval.

    With the summed losses of row i, averaged over the seeds, D_i of the difference and B_i of the leader, and m rows or
    groups of dependent rows,

        behind = 100 sum_i D_i / sum_i B_i
        y_i = 100 m (D_i - behind / 100 B_i) / sum_i B_i * (1 - 1 / m) / (1 - h_i),   h_i = B_i / sum_i B_i
        bound = behind - t_(0.95, freedom) sqrt(sum_i y_i^2 / (m (m - 1))),   freedom = 1 / sum_i h_i^2 - 1
    """
    leader_losses = _mean_by_row(leader_runs)
    differences = _mean_by_row(runs) - leader_losses
    leader_sum = float(leader_losses.sum())
    behind = 100 * float(differences.sum()) / max(leader_sum, LEAST_LOSS)
    if len(differences) < 2 or leader_sum < LEAST_LOSS:
        return behind, None
    jackknife = jackknife_rows(differences[None], leader_losses, behind)
    return behind, behind - jackknife.error.half_width(2 * ONE_SIDED - 1)


def _mean_by_row(runs: Sequence[Run]) -> Array:
    """Return the summed losses of the rows with targets, averaged over the runs."""
    return np.array([[total for total, tokens in run.independent_losses if tokens] for run in runs]).mean(0)
