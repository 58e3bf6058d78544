"""The figures of a report: differences, training losses by step, losses by learning rate, and losses by size."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.lib.stride_tricks import sliding_window_view

from qweft.comparison.judge.searches import Search
from qweft.comparison.judge.summary import Summary
from qweft.comparison.judge.verdicts import Verdict
from qweft.comparison.report.wording import difference_said
from qweft.comparison.results import BASE, Run
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import INK, PAPER, Style, fitting

ROW = 0.225
"""Height of a row of the forest, in inches."""
MOST = 8
"""Largest number of methods that a key beside a figure names."""
BEST = 3
"""Number of names reserved for the lowest held-out losses, whatever the methods are."""
SMOOTHED_SHARE = 20
"""Losses are averaged over the last 1/20 of the logged steps."""
CUT = 1.5
"""Losses above this multiple of a usual one are cut off: a diverging run would flatten all others."""
AXIS = "trained parameters"
COLUMNS, PANEL = 3, 1.4
"""Panels of a search side by side, and the height of one in inches."""


def rows(verdicts: Sequence[Verdict]) -> dict[str, list[tuple[str, Verdict]]]:
    """Return the verdicts that have an interval, each pair once with the other method's name, by heading."""
    pairs: dict[tuple[str, str], Verdict] = {}
    for each in verdicts:
        if each.topic != "claim" and each.pairing.interval:
            pairs.setdefault((each.method, each.other), each)
    found: dict[str, list[tuple[str, Verdict]]] = {}
    for (method, other), each in pairs.items():
        heading, name = f"{fitting(method)} against", other
        if each.topic == "other":
            heading, name = f"against {fitting(other)}", method
        found.setdefault(heading, []).append((name, each))
    return found


def forest_figure(verdicts: Sequence[Verdict], styles: Mapping[str, Style]) -> ReportFigure | None:
    """Return the figure of the differences; `None` if no verdict has an interval."""
    own = rows(verdicts)
    if not own:
        return None
    told = [each for group in own.values() for _, each in group]
    return ReportFigure(
        "differences",
        "Methods held against each other",
        "Difference in held-out loss, in percent of the other method's, with its 95% interval. Filled: decided.",
        "; ".join(f"{each.method} against {each.other} {difference_said(each.pairing)}" for each in told),
        0.75 + ROW * (len(own) + len(told)),
        lambda figure: _draw_forest(figure, own, styles),
    )


def _draw_forest(figure: Figure, own: Mapping[str, Sequence[tuple[str, Verdict]]], styles: Mapping[str, Style]) -> None:
    axes, labels = figure.subplots(), list[str]()
    for heading, group in own.items():
        labels.append(heading)
        for name, verdict in group:
            style, pairing, place = styles[name], verdict.pairing, len(labels)
            is_decided = pairing.direction in ("lower", "higher")
            axes.plot(pairing.interval or (), (place, place), color=style.hex, linewidth=1.8)
            fill = style.hex if is_decided else PAPER
            axes.plot([pairing.mean or 0.0], [place], color=style.hex, marker=style.marker, markerfacecolor=fill)
            axes.text(
                1.02,
                place,
                difference_said(pairing).replace("-", "−"),
                transform=axes.get_yaxis_transform(),
                verticalalignment="center",
                fontweight="bold" if is_decided else "normal",
            )
            labels.append(fitting(name))
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in own else "normal")
    axes.set_xlabel("percent: lower loss ← 0 → higher loss")
    axes.grid(axis="x")


def emphasised(summary: Mapping[str, Summary]) -> list[str]:
    """Return the methods that figures name in their key: the reference, the best, hybrids, then by loss."""
    methods = [entry for entry in summary.values() if entry.method != BASE]
    by_loss = sorted(methods, key=lambda entry: (entry.eval_loss is None, entry.eval_loss or 0.0))
    first = [entry for entry in methods if entry.method == entry.reference] + by_loss[:BEST]
    hybrids = [entry for entry in by_loss if entry.kind == "hybrid"]
    return list(dict.fromkeys(entry.method for entry in (*first, *hybrids, *by_loss)))[:MOST]


class Line(NamedTuple):
    """One method's training loss at each logged step, at each seed: arrays of (steps) and (seeds, steps)."""

    method: str
    steps: list[int]
    losses: np.ndarray


def lines(runs: Sequence[Run]) -> list[Line]:
    """Return a line for each method that logged a loss, smoothed, the highest end first."""
    curves: dict[str, list[dict[int, float]]] = {}
    for run in runs:
        if run.train_loss_curve:
            curves.setdefault(run.method, []).append(dict(run.train_loss_curve))
    found = []
    for method, own in curves.items():
        if steps := sorted(set.intersection(*map(set, own))):
            window = max(1, len(steps) // SMOOTHED_SHARE)
            losses = np.array([[curve[step] for step in steps] for curve in own])
            found.append(Line(method, steps[window - 1 :], sliding_window_view(losses, window, axis=1).mean(-1)))
    return sorted(found, key=lambda line: -np.nan_to_num(line.losses[:, -1].mean(), nan=math.inf))


def curves_figure(runs: Sequence[Run], styles: Mapping[str, Style], named: Collection[str]) -> ReportFigure | None:
    """Return the figure, or `None` if nothing was trained."""
    own = lines(runs)
    if not own:
        return None
    band = "." if len(own) > MOST else "; band: lowest to highest seed."
    ends = ((line.method, *line.losses.mean(0)[[0, -1]]) for line in own)
    return ReportFigure(
        "loss_curves",
        "Training loss by step",
        f"Nats a token, averaged over a twentieth of the logged steps. Line: mean over seeds{band}",
        f"Training loss from first to last step: {', '.join(f'{name} {a:.3f} to {b:.3f}' for name, a, b in ends)}.",
        3.9,
        lambda figure: _draw_curves(figure, own, styles, named),
    )


def _draw_curves(figure: Figure, own: Sequence[Line], styles: Mapping[str, Style], named: Collection[str]) -> None:
    """Draw each method's line; those of the key stand out."""
    axes = figure.subplots()
    for method, steps, losses in own:
        style, is_named = styles[method], method in named
        if len(own) <= MOST:
            axes.fill_between(steps, losses.min(0), losses.max(0), color=style.hex, alpha=0.12, linewidth=0)
        axes.plot(
            steps,
            losses.mean(0),
            color=style.hex,
            linestyle=style.line,
            linewidth=1.6 if is_named else 0.6,
            marker=style.marker if is_named else "",
            markevery=max(1, len(steps) // 6),
            label=fitting(method) if is_named else None,
        )
    _cut_off(axes, max(line.losses[:, 0].max() for line in own))
    axes.set_xlabel("step")
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y")
    figure.legend(loc="outside right upper")


def _cut_off(axes: Axes, loss: float | None) -> None:
    """Leave losses out that lie far above a usual one."""
    if loss is not None and math.isfinite(loss):
        axes.set_ylim(top=min(axes.get_ylim()[1], CUT * loss))


def search_figure(found: Sequence[Search], styles: Mapping[str, Style]) -> ReportFigure | None:
    """Return the figure of a search, a panel a method, or `None` if no method was searched."""
    if not found:
        return None
    return ReportFigure(
        "learning_rates",
        "Validation loss by learning rate",
        "Nats a token on the validation rows, mean over seeds; small dots are single seeds, a cross is a training that "
        "diverged. Ringed: the chosen rate, by the parabola through the best one and its neighbours.",
        "; ".join(f"{each.method} best at {each.best:g}, may fall short by: {each.shortfall.text}" for each in found),
        0.5 + PANEL * math.ceil(len(found) / COLUMNS),
        lambda figure: _draw_search(figure, found, styles),
    )


def _draw_search(figure: Figure, found: Sequence[Search], styles: Mapping[str, Style]) -> None:
    for place, entry in enumerate(found):
        axes = figure.add_subplot(math.ceil(len(found) / COLUMNS), COLUMNS, place + 1, xscale="log")
        style, tried = styles[entry.method], list(entry.losses)
        for rate, losses in entry.by_seed.items():
            axes.plot([rate] * len(losses), losses, ".", color=style.hex, markersize=3)
        axes.plot(tried, list(entry.losses.values()), color=style.hex, marker=style.marker, markersize=3.5)
        for rate in (rate for rate, loss in entry.losses.items() if math.isinf(loss)):
            axes.plot([rate], [1], "x", color=style.hex, transform=axes.get_xaxis_transform(), clip_on=False)
        if entry.loss is not None:
            axes.plot([entry.best], [entry.loss], "o", color=INK, markersize=8, markerfacecolor="none")
        _cut_off(axes, entry.loss)
        axes.set_title(fitting(entry.method))
        axes.minorticks_off()
        axes.set_xticks([tried[0], tried[-1]], [f"{rate:.2g}" for rate in (tried[0], tried[-1])])
        axes.grid(axis="y")
    figure.supxlabel("peak learning rate (logarithmic)")


class Point(NamedTuple):
    """A method's size, its mean held-out loss, and the loss at each seed."""

    method: str
    size: int
    loss: float
    seeds: tuple[float, ...]


def points(summary: Mapping[str, Summary]) -> list[Point]:
    """Return the methods that diverged at no seed, each over the seeds that all of them have."""
    entries = [entry for entry in summary.values() if entry.trainable_parameters and entry.eval_loss is not None]
    shared = set.intersection(*(set(entry.seeds) for entry in entries)) if entries else set()
    found = []
    for entry in entries:
        own = entry.losses.items()
        seeds = tuple(loss for seed, loss in own if loss is not None and (seed in shared or not shared))
        found.append(Point(entry.method, entry.trainable_parameters, sum(seeds) / len(seeds), seeds))
    return found


def front(found: Sequence[Point]) -> list[Point]:
    """Return the Pareto front, smallest first."""
    best: list[Point] = []
    for point in sorted(found, key=lambda point: (point.size, point.loss)):
        if not best or point.loss < best[-1].loss:
            best.append(point)
    return best


def pareto_figure(
    summary: Mapping[str, Summary], styles: Mapping[str, Style], named: Collection[str]
) -> ReportFigure | None:
    """Return the figure; `None` if no method has a loss."""
    own = points(summary)
    if not own:
        return None
    base = next((entry.eval_loss for entry in summary.values() if entry.kind == "base"), None)
    return ReportFigure(
        "loss_by_size",
        f"Held-out loss against {AXIS}",
        "Nats a token. Large: mean over the seeds that all have; small: one seed. "
        "Dotted: the front, methods that no other beats in both."
        + ("" if base is None else f" The untouched model has {base:.3f}."),
        f"On the front: {', '.join(point.method for point in front(own))}. "
        + "; ".join(f"{p.method}: {p.size:,.3g} {AXIS}, loss {p.loss:.3f}" for p in own),
        3.9,
        lambda figure: draw_points(figure, own, styles, named),
    )


def draw_points(figure: Figure, found: Sequence[Point], styles: Mapping[str, Style], named: Collection[str]) -> None:
    """Draw each point, and the front; the key names some, the highest loss first."""
    axes = figure.subplots(subplot_kw={"xscale": "log"})
    for point in sorted(found, key=lambda point: -point.loss):
        style, is_named = styles[point.method], point.method in named
        axes.plot([point.size] * len(point.seeds), point.seeds, style.marker, color=style.hex, markersize=3, alpha=0.5)
        size, label = (9, fitting(point.method)) if is_named else (5, None)
        axes.plot([point.size], [point.loss], style.marker, color=style.hex, markersize=size, label=label)
    best = front(found)
    axes.step([point.size for point in best], [point.loss for point in best], ":", color=INK, where="post", zorder=1)
    sizes = [point.size for point in found]
    axes.minorticks_off()
    axes.set_xticks(np.geomspace(min(sizes), max(sizes), 4))
    axes.xaxis.set_major_formatter(EngFormatter(places=1, sep=""))
    axes.set_xlabel(f"{AXIS} (logarithmic)")
    axes.grid()
    figure.legend(loc="outside right upper")
