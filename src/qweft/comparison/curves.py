"""The figures of a comparison: how each method learned, and what it reached for its size."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qweft.comparison.results import BASE, Run
from qweft.files import write_bytes

# Okabe and Ito's palette, told apart with any colour vision; its yellow is left out (too pale on white). Line styles
# and markers differ as well, for print without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Everything that is not a series. In the page it is replaced by the text's own colour, and the series' colours may be
# set anew (--series-0 ...), so that dark mode works.
INK = "#222324"
SMOOTHED_SHARE = 20
"""Training losses are averaged over the last 1/20 of all steps."""

LONGEST_NAME = 18
"""Longer names of methods are cut in the figures."""


def write_png(runs: Sequence[Run], path: str | Path) -> None:
    """Writes both panels side by side as a PNG of 1800 x 760 pixels, beside its place and renamed.

    Args:
        runs: All runs of the comparison.
        path: The file, "loss_curves.png".
    """
    figure = Figure(figsize=(12, 5), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_curves(left, runs)
    _draw_sizes(right, runs)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())


def curves_svg(runs: Sequence[Run]) -> str:
    """Training loss by step: the mean over seeds of each method and a band from its lowest to its highest seed.

    Args:
        runs: All runs of the comparison.

    Returns:
        An <svg> element that refers to nothing outside itself, in the colour of the text around it.
    """
    figure = Figure(figsize=(5.4, 4.3), layout="constrained")
    _draw_curves(figure.subplots(), runs)
    return _svg(figure, "curves", "Training loss by step, one line a method")


def sizes_svg(runs: Sequence[Run]) -> str:
    """Held-out loss against trained parameters (logarithmic), one point a seed.

    Args:
        runs: All runs of the comparison.

    Returns:
        An <svg> element, as `curves_svg`.
    """
    figure = Figure(figsize=(5.4, 4.3), layout="constrained")
    _draw_sizes(figure.subplots(), runs)
    return _svg(figure, "sizes", "Held-out loss against the number of trained parameters, one point a seed")


def _look(runs: Sequence[Run]) -> dict[str, tuple[str, object, str]]:
    """Colour, line style and marker of each method; the same in both panels."""
    methods = list(dict.fromkeys(run.method for run in runs if run.method != BASE))
    return {
        method: (COLOURS[i % len(COLOURS)], STYLES[i % len(STYLES)], MARKERS[i % len(MARKERS)])
        for i, method in enumerate(methods)
    }


def _draw_curves(axes: Axes, runs: Sequence[Run]) -> None:
    """The training losses, smoothed, with bands over the seeds."""
    longest = max((len(run.train_loss_curve) for run in runs), default=0)
    window = max(1, longest // SMOOTHED_SHARE)
    ends: list[tuple[float, str, str]] = []
    for method, (colour, style, _) in _look(runs).items():
        steps, losses = _stacked([run for run in runs if run.method == method])
        if not steps.size:
            continue
        smooth = np.array([_trailing_mean(row, window) for row in losses])
        middle = smooth.mean(axis=0)
        axes.plot(steps, middle, color=colour, linestyle=style, linewidth=1.8)
        if len(smooth) > 1:
            axes.fill_between(steps, smooth.min(axis=0), smooth.max(axis=0), color=colour, alpha=0.12, linewidth=0)
        ends.append((float(middle[-1]), method, colour))
    axes.set_xlabel("step")
    average = f", average of the last {window} logged steps" if window > 1 else ""
    axes.margins(x=0)
    _dress(axes, "Training loss", f"nats a token{average}\nband: lowest to highest seed")
    _name_at_right(axes, ends)


def _draw_sizes(axes: Axes, runs: Sequence[Run]) -> None:
    """One point a seed, a longer bar at each method's mean."""
    ends: list[tuple[float, str, str]] = []
    axes.set_xscale("log")
    for method, (colour, _, marker) in _look(runs).items():
        points = [
            (run.trainable_parameters, run.eval_loss)
            for run in runs
            if run.method == method and run.eval_loss is not None and run.trainable_parameters > 0
        ]
        if points:
            sizes, losses = zip(*points, strict=True)
            axes.plot(sizes, losses, marker, color=colour, markersize=7.5, alpha=0.75, markeredgewidth=0)
            ends.append((math.fsum(losses) / len(losses), method, colour))
    every = [run.trainable_parameters for run in runs if run.trainable_parameters > 0]
    if every:
        axes.set_xlim(min(every) / 1.6, max(every) * 1.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("trained parameters (logarithmic)")
    axes.margins(y=0.12)
    note = _draw_base(axes, runs, [loss for loss, _, _ in ends])
    _dress(axes, "Held-out loss by size", f"nats a token, one point a seed\n{note}")
    _name_at_right(axes, ends)


def _draw_base(axes: Axes, runs: Sequence[Run], losses: list[float]) -> str:
    """A line at the untouched model's loss, or, where it would squash the rest, a note with its number."""
    base = next((run.eval_loss for run in runs if run.method == BASE and run.eval_loss is not None), None)
    if base is None or not losses:
        return ""
    low, high = min(losses), max(losses)
    if base > high + (high - low) or base < low - (high - low):
        return f"off the scale: untouched model, {base:.3f}"
    axes.axhline(base, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    axes.annotate("untouched model", (0.01, base), xycoords=("axes fraction", "data"), xytext=(0, 3),
                  textcoords="offset points", color=INK, fontsize=9)  # fmt: skip
    return ""


def _stacked(runs: list[Run]) -> tuple[np.ndarray, np.ndarray]:
    """The steps that all seeds logged, and their losses (seeds x steps); where a loss is not finite the line breaks."""
    curves = [dict(run.train_loss_curve) for run in runs if run.train_loss_curve]
    if not curves:
        return np.array([]), np.array([])
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return np.array(steps), np.array([[curve[step] for step in steps] for curve in curves])


def _trailing_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Each value's average with those up to window - 1 before it."""
    return np.array([values[max(0, i + 1 - window) : i + 1].mean() for i in range(len(values))])


def _dress(axes: Axes, title: str, subtitle: str) -> None:
    """Title and quiet axes."""
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=38)
    axes.annotate(subtitle, (0, 1), xycoords="axes fraction", xytext=(0, 8), textcoords="offset points",
                  fontsize=9.5, color=INK)  # fmt: skip
    axes.patch.set_alpha(0)
    axes.grid(axis="y", color=INK, alpha=0.13, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, labelsize=10)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", which="minor", length=0)
    axes.xaxis.label.set(color=INK, fontsize=10)


def _name_at_right(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Each method's name beside its end, moved up or down just so far that names do not overlap."""
    if not ends:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ends = sorted(ends)
    places = _spread([(value - low) / (high - low) for value, _, _ in ends], gap=0.055)
    for place, (value, method, colour) in zip(places, ends, strict=True):
        at = (value - low) / (high - low)
        axes.annotate(
            "", (1.0, at), xytext=(1.035, place), xycoords="axes fraction", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 1, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        axes.text(
            1.045, place, _fitting(method), transform=axes.transAxes, color=colour, fontsize=10.5, fontweight="bold",
            verticalalignment="center", parse_math=False,
        )  # fmt: skip


def _fitting(method: str) -> str:
    """A name cut to what leaves room for the figure."""
    return method if len(method) <= LONGEST_NAME else f"{method[: LONGEST_NAME - 1]}…"


def _spread(places: list[float], gap: float) -> list[float]:
    """Ascending places moved as little as it takes to lie at least `gap` apart, keeping the centre of each crowd."""
    groups = [[place, 1] for place in places]  # centre, members
    merged = True
    while merged:
        merged = False
        for i in range(len(groups) - 1):
            (a, m), (b, n) = groups[i], groups[i + 1]
            if b - a < gap * (m + n) / 2 - 1e-12:
                groups[i : i + 2] = [[(a * m + b * n) / (m + n), m + n]]
                merged = True
                break
    return [centre + gap * (k - (members - 1) / 2) for centre, members in groups for k in range(int(members))]


def _short(value: float) -> str:
    """50k, 1M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _svg(figure: Figure, prefix: str, label: str) -> str:
    """The figure as an element for a page: no prolog, no metadata, names unique to it, the text's colour."""
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # matplotlib names parts at random; a page that is made again should be the same, and hold each name once.
    names: dict[str, str] = {}
    for name in re.findall(r'\bid="([^"]+)"', text):
        names.setdefault(name, f"{prefix}-{len(names)}")
    text = re.sub(r'\bid="([^"]+)"', lambda match: f'id="{names[match[1]]}"', text)
    text = re.sub(r'(href="|url\()#([^")]+)', lambda match: f"{match[1]}#{names[match[2]]}", text)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'<svg height="[^"]*"', "<svg", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    for number, colour in enumerate(COLOURS):
        text = re.sub(colour, f"var(--series-{number}, {colour})", text, flags=re.IGNORECASE)
    return re.sub(INK, "currentColor", text, flags=re.IGNORECASE)
