"""Training loss by step, with a band over the seeds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from qweft.comparison.results import BASE, Run
from qweft.comparison.summary import Summary
from qweft.figures.figure import End, ReportFigure, dress, name_at_right
from qweft.figures.styles import Style

MOST = 8
"""Largest number of labels that stay readable at the ends of lines."""
BEST = 3
"""Number of labels reserved for the lowest held-out losses, whatever the methods are."""
SMOOTHED_SHARE = 20
"""Losses are averaged over the last 1/20 of all logged steps."""
CUT = 1.5
"""Losses above this multiple of the largest first loss are cut off: a diverging run would flatten all others."""


def emphasised(summary: Mapping[str, Summary]) -> frozenset[str]:
    """Return the methods that figures label directly; the others appear only in the legend."""
    methods = [entry for entry in summary.values() if entry.method != BASE]
    by_loss = sorted(methods, key=lambda entry: (entry.eval_loss is None, entry.eval_loss or 0.0))
    first = [entry for entry in methods if entry.method == entry.reference] + by_loss[:BEST]
    asked = [entry for kind in ("hybrid", "lora", "no_circuit") for entry in by_loss if entry.kind == kind]
    ordered = dict.fromkeys(entry.method for entry in (*first, *asked, *by_loss))
    return frozenset(list(ordered)[:MOST])


@dataclass(frozen=True)
class Line:
    """One method's training loss at each logged step: mean over seeds, lowest and highest seed."""

    method: str
    steps: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def lines(runs: Sequence[Run], window: int) -> list[Line]:
    """Return a line for each method that logged a loss, averaged over the last steps of a window."""
    found = []
    for method in dict.fromkeys(run.method for run in runs if run.method != BASE):
        curves = [dict(run.train_loss_curve) for run in runs if run.method == method and run.train_loss_curve]
        steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
        if steps:  # NaN breaks a line
            losses = np.array([[curve[step] for step in steps] for curve in curves])
            smooth = np.array([losses[:, max(0, i + 1 - window) : i + 1].mean(axis=1) for i in range(len(steps))]).T
            found.append(Line(method, np.array(steps), smooth.mean(axis=0), smooth.min(axis=0), smooth.max(axis=0)))
    return found


def curves_figure(runs: Sequence[Run], styles: Mapping[str, Style], named: Collection[str]) -> ReportFigure | None:
    """Return the figure, or `None` if nothing was trained."""
    window = max(1, max((len(run.train_loss_curve) for run in runs), default=0) // SMOOTHED_SHARE)
    own = lines(runs, window)
    if not own:
        return None
    average = f", averaged over the last {window} logged steps" if window > 1 else ""
    band = "Line: mean over seeds" + ("." if len(own) > MOST else "; band: lowest to highest seed.")
    first_to_last = (f"{line.method} {line.middle[0]:.3f} to {line.middle[-1]:.3f}" for line in own)
    return ReportFigure(
        "loss_curves",
        "Training loss by step",
        f"Nats a token{average}. {band}",
        f"Training loss from the first to the last step: {', '.join(first_to_last)}.",
        3.9,
        lambda figure: _draw(figure, own, styles, named),
    )


def _draw(figure: Figure, own: Sequence[Line], styles: Mapping[str, Style], named: Collection[str]) -> None:
    """Draw each method's line; labelled methods stand out."""
    axes = figure.subplots()
    for line in own:
        style, front = styles[line.method], line.method in named
        if len(own) <= MOST:
            axes.fill_between(line.steps, line.low, line.high, color=style.hex, alpha=0.12, linewidth=0)
        marked = max(1, len(line.steps) // 6)
        axes.plot(line.steps, line.middle, color=style.hex, linestyle=style.line, linewidth=1.6 if front else 0.8,
                  marker=style.marker, markersize=4.5 if front else 2.5, markeredgewidth=0, zorder=3 if front else 2,
                  markevery=(marked // 2, marked), alpha=1 if front else 0.6)  # fmt: skip
    values = np.concatenate([array for line in own for array in (line.low, line.high)])
    values = values[np.isfinite(values)]
    if values.size:
        first = [line.high[0] for line in own if np.isfinite(line.high[0])]
        low, high = values.min(), min(values.max(), CUT * max(first, default=np.inf))
        room = 0.05 * (high - low or 1)
        axes.set_ylim(low - room, high + room)
    steps = np.concatenate([line.steps for line in own])
    axes.set_xlim(steps.min(), max(steps.max(), steps.min() + 1))
    axes.set_xlabel("step")
    dress(axes)
    # The label of a line that broke off is at its last finite value
    finite = [(line.method, line.middle[np.isfinite(line.middle)]) for line in own if line.method in named]
    name_at_right(axes, [End(float(values[-1]), method, styles[method]) for method, values in finite if values.size])
