"""How each method learned: training loss by step, with a band over the seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from qweft.comparison.report.axes import End, dress, name_at_right
from qweft.comparison.report.looks import Look
from qweft.comparison.report.plate import Notes, Plate
from qweft.comparison.results import BASE, Run

SMOOTHED_SHARE = 20
"""Training losses are averaged over the last 1/20 of all steps."""

CUT = 1.5
"""A loss above so many times the largest first one is cut off: a run that diverges would flatten all others."""


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
    """A line for each method that logged a loss.

    Args:
        runs: All runs of one comparison.
    """
    window = smoothed_over(runs)
    found = []
    for method in dict.fromkeys(run.method for run in runs if run.method != BASE):
        steps, losses = _stacked([run for run in runs if run.method == method])
        if steps.size:
            smooth = np.array([_trailing_mean(row, window) for row in losses])
            found.append(Line(method, steps, smooth.mean(axis=0), smooth.min(axis=0), smooth.max(axis=0), len(smooth)))
    return found


def smoothed_over(runs: Sequence[Run]) -> int:
    """Over how many logged steps a loss is averaged."""
    return max(1, max((len(run.train_loss_curve) for run in runs), default=0) // SMOOTHED_SHARE)


def curves_plate(runs: Sequence[Run], look: Mapping[str, Look], beside: Sequence[Line]) -> Plate | None:
    """The figure, or none where nothing was trained.

    Args:
        runs: All runs of the comparison.
        look: Of each method.
        beside: The lines of all comparisons on the page, which share their scales.
    """
    own = lines(runs)
    if not own:
        return None
    window = smoothed_over(runs)
    average = f", averaged over the last {window} logged steps" if window > 1 else ""
    seeds = max(line.seeds for line in own)
    band = "Line: mean over seeds; band: lowest to highest seed." if seeds > 1 else "One seed."
    told = ", ".join(f"{line.method} {_said(line.middle[0])} to {_said(line.middle[-1])}" for line in own)

    def draw(figure: Figure) -> Notes:
        return _draw(figure, own, look, [*own, *beside])

    return Plate(
        "loss_curves",
        "Training loss by step",
        f"Nats a token{average}. {band}",
        f"Training loss from the first to the last step: {told}.",
        3.9,
        draw,
    )


def _draw(figure: Figure, own: Sequence[Line], look: Mapping[str, Look], every: Sequence[Line]) -> Notes:
    axes = figure.subplots()
    for line in own:
        style = look[line.method]
        marked = max(1, len(line.steps) // 6)
        axes.plot(line.steps, line.middle, color=style.hex, linestyle=style.line, linewidth=1.8, marker=style.marker,
                  markersize=4.5, markeredgewidth=0, markevery=(marked // 2, marked))  # fmt: skip
        if line.seeds > 1:
            axes.fill_between(line.steps, line.low, line.high, color=style.hex, alpha=0.12, linewidth=0)
    values = np.concatenate([array for line in every for array in (line.low, line.high)])
    values = values[np.isfinite(values)]
    if values.size:
        first = [line.high[0] for line in every if np.isfinite(line.high[0])]
        low, high = values.min(), min(values.max(), CUT * max(first, default=np.inf))
        axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
    steps = np.concatenate([line.steps for line in every])
    axes.set_xlim(steps.min(), max(steps.max(), steps.min() + 1))
    axes.set_xlabel("step")
    dress(axes)
    # A line that broke off is named by its last value
    finite = [(line.method, line.middle[np.isfinite(line.middle)]) for line in own]
    name_at_right(axes, [End(float(values[-1]), method, look[method]) for method, values in finite if values.size])
    return {}


def _stacked(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """The steps that all seeds logged, and their losses (seeds x steps); where a loss is not finite the line breaks."""
    curves = [dict(run.train_loss_curve) for run in runs if run.train_loss_curve]
    if not curves:
        return np.array([]), np.array([])
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return np.array(steps), np.array([[curve[step] for step in steps] for curve in curves])


def _trailing_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Each value's average with those up to window - 1 before it."""
    return np.array([values[max(0, i + 1 - window) : i + 1].mean() for i in range(len(values))])


def _said(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "not a number"
