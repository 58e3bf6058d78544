"""Training loss by step, with a band over the seeds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qweft.comparison.results import BASE, Run
from qweft.comparison.summary import Summary
from qweft.figures.figure import End, Notes, ReportFigure, dress, name_at_right
from qweft.figures.styles import Style

MOST = 8
"""Largest number of labels that stay readable at the ends of lines."""

BEST = 3
"""Number of labels reserved for the lowest held-out losses, whatever the methods are."""


def emphasised(summary: Mapping[str, Summary]) -> frozenset[str]:
    """Return the methods that figures label directly; the others appear only in the legend."""
    methods = [entry for entry in summary.values() if entry.method != BASE]
    if len(methods) <= MOST:
        return frozenset(entry.method for entry in methods)
    by_loss = sorted(methods, key=lambda entry: (entry.eval_loss is None, entry.eval_loss or 0.0))
    first = [entry for entry in methods if entry.method == entry.reference] + by_loss[:BEST]
    asked = [entry for kind in ("hybrid", "lora", "no_circuit") for entry in by_loss if entry.kind == kind]
    ordered = dict.fromkeys(entry.method for entry in (*first, *asked, *by_loss))
    return frozenset(list(ordered)[:MOST])


SMOOTHED_SHARE = 20
"""Losses are averaged over the last 1/20 of all logged steps."""

CUT = 1.5
"""Losses above this multiple of the largest first loss are cut off: a diverging run would flatten all others."""


@dataclass(frozen=True)
class Line:
    """One method's training loss, smoothed: steps, mean over seeds, lowest and highest seed."""

    method: str
    steps: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: int


def lines(runs: Sequence[Run]) -> list[Line]:
    """Return a line for each method that logged a loss."""
    window = smoothed_over(runs)
    found = []
    for method in dict.fromkeys(run.method for run in runs if run.method != BASE):
        steps, losses = _stacked([run for run in runs if run.method == method])
        if steps.size:
            smooth = np.array([_trailing_mean(row, window) for row in losses])
            found.append(Line(method, steps, smooth.mean(axis=0), smooth.min(axis=0), smooth.max(axis=0), len(smooth)))
    return found


def smoothed_over(runs: Sequence[Run]) -> int:
    """Return the number of logged steps over which a loss is averaged."""
    return max(1, max((len(run.train_loss_curve) for run in runs), default=0) // SMOOTHED_SHARE)


def curves_figure(
    runs: Sequence[Run], styles: Mapping[str, Style], named: Collection[str], beside: Sequence[Line]
) -> ReportFigure | None:
    """Return the figure, or `None` if nothing was trained."""
    own = lines(runs)
    if not own:
        return None
    window = smoothed_over(runs)
    average = f", averaged over the last {window} logged steps" if window > 1 else ""
    seeds = max(line.seeds for line in own)
    band = "One seed." if seeds == 1 else "Line: mean over seeds"
    band += "" if seeds == 1 else "." if len(own) > MOST else "; band: lowest to highest seed."
    told = ", ".join(f"{line.method} {_said(line.middle[0])} to {_said(line.middle[-1])}" for line in own)

    def draw(figure: Figure) -> Notes:
        return _draw(figure, own, styles, named, [*own, *beside])

    return ReportFigure(
        "loss_curves",
        "Training loss by step",
        f"Nats a token{average}. {band}",
        f"Training loss from the first to the last step: {told}.",
        3.9,
        draw,
    )


def _draw(
    figure: Figure, own: Sequence[Line], styles: Mapping[str, Style], named: Collection[str], every: Sequence[Line]
) -> Notes:
    axes = figure.subplots()
    if len(own) <= MOST:
        for line in (line for line in own if line.seeds > 1):
            axes.fill_between(line.steps, line.low, line.high, color=styles[line.method].hex, alpha=0.12, linewidth=0)
    values = np.concatenate([array for line in every for array in (line.low, line.high)])
    values = values[np.isfinite(values)]
    if values.size:
        first = [line.high[0] for line in every if np.isfinite(line.high[0])]
        low, high = values.min(), min(values.max(), CUT * max(first, default=np.inf))
        room = 0.05 * (high - low or 1)
        axes.set_ylim(low - room, high + room)
    _lines(axes, own, styles, named, every)
    return {}


def _lines(
    axes: Axes, own: Sequence[Line], styles: Mapping[str, Style], named: Collection[str], every: Sequence[Line]
) -> None:
    """Draw each method's line; labelled methods stand out."""
    for line in own:
        style, front = styles[line.method], line.method in named
        marked = max(1, len(line.steps) // 6)
        axes.plot(line.steps, line.middle, color=style.hex, linestyle=style.line, linewidth=1.6 if front else 0.8,
                  marker=style.marker, markersize=4.5 if front else 2.5, markeredgewidth=0, zorder=3 if front else 2,
                  markevery=(marked // 2, marked), alpha=1 if front else 0.6)  # fmt: skip
    steps = np.concatenate([line.steps for line in every])
    axes.set_xlim(steps.min(), max(steps.max(), steps.min() + 1))
    axes.set_xlabel("step")
    dress(axes)
    # The label of a line that broke off is at its last finite value
    finite = [(line.method, line.middle[np.isfinite(line.middle)]) for line in own if line.method in named]
    name_at_right(axes, [End(float(values[-1]), method, styles[method]) for method, values in finite if values.size])


def _stacked(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps that all seeds logged, and their losses (seeds, steps); NaN breaks the line."""
    curves = [dict(run.train_loss_curve) for run in runs if run.train_loss_curve]
    if not curves:
        return np.array([]), np.array([])
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return np.array(steps), np.array([[curve[step] for step in steps] for curve in curves])


def _trailing_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of each value with up to window - 1 values before it."""
    return np.array([values[max(0, i + 1 - window) : i + 1].mean() for i in range(len(values))])


def _said(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "not a number"
