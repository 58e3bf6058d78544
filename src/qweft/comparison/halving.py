"""Successive halving before the runs of a comparison: which methods go on, by paired losses on the validation rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qweft.comparison.context import Context
from qweft.comparison.methods import Method
from qweft.comparison.plan import Plan, rung_sizes, rung_steps
from qweft.comparison.random_effects import pulls
from qweft.comparison.results import Run
from qweft.comparison.rungs import Rung, Standing
from qweft.comparison.student import quantile
from qweft.comparison.tune import at_own_rates, search, with_rates
from qweft.errors import QweftError
from qweft.text import many

FOLDERS = "rung-"
"""Begins the names of the folders with the runs of a rung, in the output folder of a comparison."""
ONE_SIDED = 0.95
"""Level of the one-sided bound on how far behind a method is."""
LEAST = 2
"""So many methods go on, if so many have a loss."""


def with_halving(
    context: Context, plan: Plan, methods: Sequence[Method], after: Callable[[Rung, int], None]
) -> tuple[list[Method], dict[str, Any], list[Rung]]:
    """Make the rungs and return the finalists with their rates, the searches by method, and the rungs."""
    alive, searches, rungs = list(methods), dict[str, Any](), list[Rung]()
    steps = rung_steps(plan.halving, context.steps)
    sizes = rung_sizes(len(methods), plan.halving.finalists or LEAST, len(steps))
    for number, (count, most) in enumerate(zip(steps, sizes, strict=True), 1):
        grid, folder = replace(plan.grid, steps=count), context.output / f"{FOLDERS}{number}"
        searched = search(context, folder, [method for method in alive if method.searched], grid)
        alive = with_rates(alive, searched)  # of methods that use another one's rate, too
        given = at_own_rates(context, folder, [method for method in alive if not method.searched], grid)
        searches.update({name: trials.to_json() for name, trials in searched.items()})
        runs = {name: trials.best for name, trials in {**searched, **given}.items()}
        rung = Rung(number, count, grid.seeds, tuple(standings(alive, runs, most)))
        rungs.append(rung)
        after(rung, len(steps))
        if not rung.going_on:
            raise QweftError(
                f"every method diverged after {many(count, 'step')}: lower search_from of the methods, or "
                "training.learning_rate"
            )
        alive = [method for method in alive if method.name in rung.going_on]
    return alive, searches, rungs


def standings(methods: Sequence[Method], runs: Mapping[str, Sequence[Run]], most: int) -> list[Standing]:
    """Return how the methods stand after a rung, the leader first."""
    losses = {method.name: _mean(runs[method.name]) for method in methods}
    order = sorted(methods, key=lambda method: losses[method.name])
    found: list[Standing] = []
    for method in order:
        own = runs[method.name]
        standing = Standing(method.name, method.adapter, own[0].learning_rate or method.learning_rate, None)
        if math.isfinite(losses[method.name]):
            behind, bound = how_far_behind(own, runs[order[0].name])
            going = sum(each.goes_on for each in found)
            goes_on = going < LEAST or (going < most and not (bound is not None and bound > 0))
            standing = replace(standing, loss=losses[method.name], behind=behind, bound=bound, goes_on=goes_on)
        found.append(standing)
    return found


def _mean(runs: Sequence[Run]) -> float:
    """Return the mean loss; infinity if a run diverged."""
    losses = [math.inf if run.eval_loss is None else run.eval_loss for run in runs]
    return math.fsum(losses) / len(losses)


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
    count, scale = len(own), float(theirs.sum())
    behind = 100 * float((own - theirs).sum()) / scale
    if count < 2:
        return behind, None
    pull, freedom = pulls(theirs)
    errors = 100 * (own - theirs - behind / 100 * theirs) / scale * pull
    if not np.isfinite(errors).all():
        return behind, None
    half = quantile(2 * ONE_SIDED - 1, freedom) * math.sqrt(count / (count - 1) * float(np.square(errors).sum()))
    return behind, behind - half


def _by_row(runs: Sequence[Run]) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Return the summed losses of the rows with targets, averaged over the runs; `None` if they were not recorded."""
    rows = [[total for total, tokens in run.independent_losses if tokens] for run in runs]
    if not rows or not rows[0] or len(set(map(len, rows))) > 1:
        return None
    return np.array(rows, dtype=np.float64).mean(0)
