"""Successive halving before the runs of a comparison: which methods go on, by paired losses on the validation rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qweft.comparison.config import HalvingConfig
from qweft.comparison.context import Context
from qweft.comparison.methods import Method
from qweft.comparison.plan import Grid, rung_sizes, rung_steps
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
    context: Context,
    methods: Sequence[Method],
    grid: Grid,
    halving: HalvingConfig,
    after: Callable[[Rung, int], None] = lambda rung, rungs: None,
) -> tuple[list[Method], dict[str, Any], list[Rung]]:
    """Make the rungs and return the finalists with their rates, the searches by method, and the rungs."""
    alive, searched, rungs = list(methods), dict[str, Any](), list[Rung]()
    steps = rung_steps(halving, context.steps)
    sizes = rung_sizes(len(methods), halving.finalists or LEAST, len(steps))
    for number, (count, most) in enumerate(zip(steps, sizes, strict=True), 1):
        own = replace(grid, steps=count)
        found, runs, alive = _made(context, alive, own, number)
        searched.update(found)
        rung = Rung(number, count, own.seeds, tuple(standings(alive, runs, most)))
        rungs.append(rung)
        after(rung, len(steps))
        if not rung.going_on:
            raise QweftError(
                f"every method diverged after {many(count, 'step')}: lower search_from of the methods, or "
                "training.learning_rate"
            )
        alive = [method for method in alive if method.name in rung.going_on]
    return alive, searched, rungs


def _made(
    context: Context, methods: Sequence[Method], grid: Grid, number: int
) -> tuple[dict[str, Any], dict[str, list[Run]], list[Method]]:
    """Return the searches of a rung, each method's runs at its best rate, and the methods with the rates found."""
    folder = context.output / f"{FOLDERS}{number}"
    searched = search(context, folder, [method for method in methods if method.searched], grid)
    methods = with_rates(methods, searched)
    given = at_own_rates(context, folder, [method for method in methods if not method.searched], grid)
    found = {name: trials.to_json() for name, trials in searched.items()}
    return found, {name: trials.best for name, trials in {**searched, **given}.items()}, methods


def standings(methods: Sequence[Method], runs: Mapping[str, Sequence[Run]], most: int) -> list[Standing]:
    """Return how the methods stand after a rung, the leader first."""
    losses = {method.name: _mean(runs[method.name]) for method in methods}
    order = sorted(methods, key=lambda method: losses[method.name])
    found = []
    going = 0
    for method in order:
        loss, rate = losses[method.name], runs[method.name][0].learning_rate or method.learning_rate
        if not math.isfinite(loss):
            found.append(Standing(method.name, method.adapter, rate, None))
            continue
        behind, bound = how_far_behind(runs[method.name], runs[order[0].name])
        goes_on = going < LEAST or (going < most and not (bound is not None and bound > 0))
        going += goes_on
        found.append(Standing(method.name, method.adapter, rate, loss, behind, bound, goes_on))
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
