"""Held-out loss against the number of trained parameters."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qweft.comparison.summary import Summary
from qweft.figures.figure import SMALL, End, ReportFigure, dress, name_at_right, short
from qweft.figures.styles import INK, Style

AXIS = "trained parameters"


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
    differ = (
        len({entry.seeds for entry in summary.values() if entry.kind != "base" and entry.eval_loss is not None}) > 1
    )
    return ReportFigure(
        "loss_by_size",
        f"Held-out loss against {AXIS}",
        f"Nats a token. Large: mean over {'the seeds that all have' if differ else 'seeds'}; small: one seed. "
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
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(float(f"{value:.3g}"))))
    axes.xaxis.set_minor_formatter(NullFormatter())


def off_scale(base: float | None, found: Sequence[Point]) -> bool:
    """Whether the untouched model's loss would compress the rest of the axis."""
    losses = [point.loss for point in found]
    low, high = min(losses), max(losses)
    return base is not None and not low - (high - low) <= base <= high + (high - low)
