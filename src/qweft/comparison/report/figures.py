"""The figures of a report: differences, training losses by step, losses by learning rate, and losses by size."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

from qweft.comparison.rates import parabola
from qweft.comparison.results import BASE, Run
from qweft.comparison.searched import Search
from qweft.comparison.summary import Summary
from qweft.comparison.verdicts import Verdict
from qweft.figures.figure import NORMAL, SMALL, End, ReportFigure, dress, name_at_right
from qweft.figures.styles import INK, PAPER, Style, fitting

ROW = 0.225
"""Height of a row of a forest, in inches."""
MOST = 8
"""Largest number of labels that stay readable at the ends of lines."""
BEST = 3
"""Number of labels reserved for the lowest held-out losses, whatever the methods are."""
SMOOTHED_SHARE = 20
"""Losses are averaged over the last 1/20 of all logged steps."""
CUT = 1.5
"""Losses above this multiple of the largest first loss are cut off: a diverging run would flatten all others."""
AXIS = "trained parameters"
COLUMNS, PANEL = 3, 1.25
"""Panels of a search side by side, and the height of one in inches."""


class Row(NamedTuple):
    """A paired difference with an interval, below its heading and with the name of the other method."""

    heading: str
    name: str
    verdict: Verdict

    @property
    def numbers(self) -> tuple[float, float, float]:
        """The difference and both ends of its interval."""
        return self.verdict.pairing.mean or 0.0, *(self.verdict.pairing.interval or (0.0, 0.0))

    @property
    def said(self) -> str:
        """The difference with its interval as text, with true minus signs."""
        digits = 2 if max(map(abs, self.numbers[1:])) < 10 else 1
        mean, low, high = (f"{value:+z.{digits}f}" for value in self.numbers)
        return f"{mean} [{low}, {high}]".replace("-", "−")


def rows(findings: Sequence[Verdict], of_hybrids: bool) -> list[Row]:
    """Return the findings that have an interval, each pair of methods once, grouped by heading."""
    found: dict[tuple[str, str], Row] = {}
    for each in findings:
        if each.topic != "claim" and (each.topic != "other") == of_hybrids and each.pairing.interval:
            heading = f"{fitting(each.method)} against" if of_hybrids else f"against {fitting(each.other)}"
            row = Row(heading, each.other if of_hybrids else each.method, each)
            found.setdefault((each.method, each.other), row)
    headings = list(dict.fromkeys(row.heading for row in found.values()))
    return sorted(found.values(), key=lambda row: headings.index(row.heading))


def forest_figure(findings: Sequence[Verdict], of_hybrids: bool, styles: Mapping[str, Style]) -> ReportFigure | None:
    """Return the figure of the methods with a circuit, or of the others; `None` if no finding has an interval."""
    own = rows(findings, of_hybrids)
    if not own:
        return None
    kind, against = ("Methods with a circuit", "others") if of_hybrids else ("Other methods", "the reference")
    return ReportFigure(
        "differences" if of_hybrids else "differences_others",
        f"{kind}, held against {against}",
        "Difference in held-out loss, in percent of the other method's, with its 95% interval. Filled: decided.",
        "; ".join(f"{row.verdict.method} against {row.verdict.other} {row.said} percent" for row in own),
        0.75 + ROW * (len(own) + len({row.heading for row in own})),
        lambda figure: _draw_forest(figure, own, styles),
    )


def _draw_forest(figure: Figure, own: Sequence[Row], styles: Mapping[str, Style]) -> None:
    axes = figure.subplots()
    low, high = min(0.0, *(min(row.numbers) for row in own)), max(0.0, *(max(row.numbers) for row in own))
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.axvline(0, color=INK, linewidth=1)
    places, place, heading = [], -1, ""
    for row in own:
        place += 1 + (row.heading != heading)
        if row.heading != heading:
            heading = row.heading
            text = axes.annotate(
                heading, (0, place - 1), xycoords=("figure fraction", "data"), xytext=(4, 0), color=INK,
                textcoords="offset points", fontsize=SMALL, fontweight="bold", verticalalignment="center",
                annotation_clip=False, parse_math=False,
            )  # fmt: skip
            text.set_in_layout(False)
        style, decided = styles.get(row.name, styles[row.verdict.method]), row.verdict.pairing.direction
        shown = decided in ("lower", "higher")
        axes.plot(row.numbers[1:], [place, place], color=style.hex, linewidth=1.8)
        axes.plot(row.numbers[:1], [place], color=style.hex, marker=style.marker, markersize=6.5,
                  markerfacecolor=style.hex if shown else PAPER, markeredgewidth=1.5)  # fmt: skip
        axes.text(1.02, place, row.said, color=INK, fontsize=SMALL - 1, transform=axes.get_yaxis_transform(),
                  verticalalignment="center", fontweight="bold" if shown else "normal")  # fmt: skip
        places.append(place)
    axes.set_ylim(place + 0.7, -0.6)
    axes.set_yticks(places, [fitting(row.name) for row in own])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlabel("percent: lower loss ← 0 → higher loss")
    dress(axes, "x")
    axes.tick_params(axis="y", labelsize=SMALL)


def emphasised(summary: Mapping[str, Summary]) -> frozenset[str]:
    """Return the methods that figures label directly; the others appear only in the legend."""
    methods = [entry for entry in summary.values() if entry.method != BASE]
    by_loss = sorted(methods, key=lambda entry: (entry.eval_loss is None, entry.eval_loss or 0.0))
    first = [entry for entry in methods if entry.method == entry.reference] + by_loss[:BEST]
    asked = [entry for kind in ("hybrid", "lora", "no_circuit") for entry in by_loss if entry.kind == kind]
    ordered = dict.fromkeys(entry.method for entry in (*first, *asked, *by_loss))
    return frozenset(list(ordered)[:MOST])


class Line(NamedTuple):
    """One method's training loss at each logged step, at each seed: arrays of (steps) and (seeds, steps)."""

    method: str
    steps: np.ndarray
    losses: np.ndarray


def lines(runs: Sequence[Run], window: int) -> list[Line]:
    """Return a line for each method that logged a loss, averaged over the last steps of a window."""
    found = []
    for method in dict.fromkeys(run.method for run in runs if run.method != BASE):
        curves = [dict(run.train_loss_curve) for run in runs if run.method == method and run.train_loss_curve]
        steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
        if steps:  # NaN breaks a line
            losses = np.array([[curve[step] for step in steps] for curve in curves])
            smooth = [losses[:, max(0, i + 1 - window) : i + 1].mean(axis=1) for i in range(len(steps))]
            found.append(Line(method, np.array(steps), np.array(smooth).T))
    return found


def curves_figure(runs: Sequence[Run], styles: Mapping[str, Style], named: Collection[str]) -> ReportFigure | None:
    """Return the figure, or `None` if nothing was trained."""
    window = max(1, max((len(run.train_loss_curve) for run in runs), default=0) // SMOOTHED_SHARE)
    own = lines(runs, window)
    if not own:
        return None
    average = f", averaged over the last {window} logged steps" if window > 1 else ""
    band = "Line: mean over seeds" + ("." if len(own) > MOST else "; band: lowest to highest seed.")
    ends = ((line.method, *line.losses.mean(0)[[0, -1]]) for line in own)
    return ReportFigure(
        "loss_curves",
        "Training loss by step",
        f"Nats a token{average}. {band}",
        f"Training loss from first to last step: {', '.join(f'{name} {a:.3f} to {b:.3f}' for name, a, b in ends)}.",
        3.9,
        lambda figure: _draw_curves(figure, own, styles, named),
    )


def _draw_curves(figure: Figure, own: Sequence[Line], styles: Mapping[str, Style], named: Collection[str]) -> None:
    """Draw each method's line; labelled methods stand out."""
    axes, ends = figure.subplots(), []
    for method, steps, losses in own:
        style, front, middle = styles[method], method in named, losses.mean(0)
        if len(own) <= MOST:
            axes.fill_between(steps, losses.min(0), losses.max(0), color=style.hex, alpha=0.12, linewidth=0)
        marked = max(1, len(steps) // 6)
        axes.plot(steps, middle, color=style.hex, linestyle=style.line, linewidth=1.6 if front else 0.8,
                  marker=style.marker, markersize=4.5 if front else 2.5, markeredgewidth=0, zorder=3 if front else 2,
                  markevery=(marked // 2, marked), alpha=1 if front else 0.6)  # fmt: skip
        # the label of a line that broke off is at its last finite value
        finite = middle[np.isfinite(middle)]
        ends += [End(float(finite[-1]), method, style)] if front and finite.size else []
    values = np.concatenate([line.losses.ravel() for line in own])
    values = values[np.isfinite(values)]
    if values.size:
        first = [loss for line in own for loss in line.losses[:, 0] if np.isfinite(loss)]
        low, high = values.min(), min(values.max(), CUT * max(first, default=np.inf))
        room = 0.05 * (high - low or 1)
        axes.set_ylim(low - room, high + room)
    steps = np.concatenate([line.steps for line in own])
    axes.set_xlim(steps.min(), max(steps.max(), steps.min() + 1))
    axes.set_xlabel("step")
    dress(axes)
    name_at_right(axes, ends)


def search_figure(found: Sequence[Search], styles: Mapping[str, Style]) -> ReportFigure | None:
    """Return the figure of a search, a panel a method, or `None` if no method was searched."""
    own = [entry for entry in found if _finite(entry)]
    if not own:
        return None
    return ReportFigure(
        "learning_rates",
        "Validation loss by learning rate",
        "Nats a token on the validation rows, mean over seeds; small dots are single seeds, a cross is a training that "
        "diverged. Dashed: the parabola through the best rate and its neighbours. Ringed: the rate that was chosen.",
        "; ".join(f"{each.method} best at {each.best:g}, may fall short by: {each.shortfall.said}" for each in own),
        0.9 + PANEL * math.ceil(len(own) / COLUMNS),
        lambda figure: _draw_search(figure, own, styles),
    )


def _finite(entry: Search) -> dict[float, float]:
    """Return the rates whose runs did not diverge, with their mean losses."""
    return {rate: loss for rate, loss in entry.losses.items() if math.isfinite(loss)}


def _draw_search(figure: Figure, own: Sequence[Search], styles: Mapping[str, Style]) -> None:
    columns = min(COLUMNS, len(own))
    figure.subplots(math.ceil(len(own) / columns), columns, sharex=True, sharey=True)
    rates = [rate for entry in own for rate in entry.losses]
    # the worst of the best losses sets the upper limit, not a rate far too large
    losses = [loss for entry in own for loss in _finite(entry).values()]
    least = min([*losses, *(entry.loss for entry in own if entry.loss is not None)])
    worst = max(min(_finite(entry).values()) for entry in own)
    most = min(max(losses), least + 3 * (worst - least) + 0.06 * abs(least))
    margin = 0.08 * (most - least or 1)
    for place, entry in enumerate(own):
        axes = figure.axes[place]
        _panel(axes, entry, styles[entry.method], most + margin)
        axes.set(xlim=(min(rates) / 1.4, max(rates) * 1.4), ylim=(least - margin, most + margin))
        axes.tick_params(labelbottom=place + columns >= len(own))
    for axes in figure.axes[len(own) :]:
        axes.set_axis_off()
    figure.supxlabel("peak learning rate (logarithmic)", color=INK, fontsize=NORMAL)


def _panel(axes: Axes, entry: Search, style: Style, top: float) -> None:
    """Draw one method's curve; where it diverged there is a cross at the upper edge."""
    tried = _finite(entry)
    axes.set_xscale("log")
    for rate, losses in entry.by_seed.items():
        axes.plot([rate] * len(losses), losses, color=style.hex, linestyle="", marker=".", markersize=3, alpha=0.6)
    axes.plot(list(tried), list(tried.values()), color=style.hex, linewidth=1.4, marker=style.marker, markersize=3.5,
              markeredgewidth=0)  # fmt: skip
    for rate in entry.losses.keys() - tried.keys():
        axes.plot([rate], [top], color=style.hex, linestyle="", marker="x", markersize=5, clip_on=False)
    if curve := parabola(entry.by_seed):
        along = np.geomspace(curve.rates[0], curve.rates[-1], 40).tolist()
        axes.plot(along, [curve.at(rate) for rate in along], color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    if entry.loss is not None:
        axes.plot([entry.best], [entry.loss], linestyle="", marker="o", markersize=8, markerfacecolor="none",
                  markeredgecolor=INK, markeredgewidth=1.1)  # fmt: skip
    axes.set_title(fitting(entry.method), color=INK, fontsize=SMALL, parse_math=False)
    if entry.at_end:
        axes.annotate("at an end", (0.5, 0.9), xycoords="axes fraction", color=INK, fontsize=SMALL - 1.5, ha="center")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    dress(axes)


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
        losses = zip(entry.seeds, entry.eval_losses, strict=True)
        seeds = tuple(loss for seed, loss in losses if loss is not None and (seed in shared or not shared))
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
    off = off_scale(base, own)
    return ReportFigure(
        "loss_by_size",
        f"Held-out loss against {AXIS}",
        "Nats a token. Large: mean over the seeds that all have; small: one seed. "
        "Dotted: the front, methods that no other beats in both."
        + (f" Off the scale: untouched model, {base:.3f}." if base is not None and off else ""),
        f"On the front: {', '.join(point.method for point in front(own))}. "
        + "; ".join(f"{p.method}: {p.size:,.3g} {AXIS}, loss {p.loss:.3f}" for p in own),
        3.9,
        lambda figure: draw_points(figure, own, styles, named, None if off else base),
    )


def draw_points(
    figure: Figure,
    found: Sequence[Point],
    styles: Mapping[str, Style],
    named: Collection[str],
    base: float | None,
) -> None:
    """Draw each point with its name, the front, and the loss of the untouched model where it is on the scale."""
    axes = figure.subplots()
    axes.set_xscale("log")
    for point in found:
        style = styles[point.method]
        axes.plot([point.size] * len(point.seeds), point.seeds, color=style.hex, marker=style.marker, linestyle="",
                  markersize=3.5, alpha=0.5, markeredgewidth=0)  # fmt: skip
        axes.plot([point.size], [point.loss], color=style.hex, marker=style.marker, linestyle="",
                  markersize=9 if point.method in named else 6.5, markeredgewidth=0)  # fmt: skip
    _size_axis(axes, [point.size for point in found])
    best = front(found)
    # down to the best, then right to the edge: more parameters buy at least that loss
    sizes, losses = [point.size for point in best], [point.loss for point in best]
    axes.step([*sizes, axes.get_xlim()[1]], [*losses, losses[-1]], where="post", color=INK, linewidth=1.2,
              linestyle=(0, (1, 2)), alpha=0.8, zorder=1)  # fmt: skip
    if base is not None:
        axes.axhline(base, color=INK, linewidth=1, linestyle=(0, (6, 3)), alpha=0.6)
        axes.annotate("untouched model", (0.01, base), xycoords=("axes fraction", "data"), xytext=(0, 3),
                      textcoords="offset points", color=INK, fontsize=SMALL)  # fmt: skip
    every = [loss for point in found for loss in point.seeds] + ([] if base is None else [base])
    room = 0.08 * (max(every) - min(every) or 0.1)
    axes.set_ylim(min(every) - room, max(every) + room)
    dress(axes, "both")
    axes.set_xlabel(f"{AXIS} (logarithmic)")
    ends = [End(point.loss, point.method, styles[point.method]) for point in found if point.method in named]
    name_at_right(axes, ends)


def _size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    """Give the logarithmic axis its limits, with a margin, and a few readable ticks, more if it spans less."""
    room = max(1.15, (max(sizes) / min(sizes)) ** 0.08)
    low, high = min(sizes) / room, max(sizes) * room
    axes.set_xlim(low, high)
    subs = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if high / low < 4 else (1, 2, 5) if high / low < 100 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def off_scale(base: float | None, found: Sequence[Point]) -> bool:
    """Whether the untouched model's loss would compress the rest of the axis."""
    losses = [point.loss for point in found]
    low, high = min(losses), max(losses)
    return base is not None and not low - (high - low) <= base <= high + (high - low)
