"""Held-out loss against cost: number of parameters, or step time."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qweft.comparison.results import BASE
from qweft.comparison.summary import Summary
from qweft.figures.figure import SMALL, End, Notes, ReportFigure, dress, name_at_right, short
from qweft.figures.styles import INK, Style

Cost = Literal["parameters", "time"]
TITLES: dict[Cost, str] = {
    "parameters": "Held-out loss against trained parameters",
    "time": "Held-out loss against step time",
}
NAMES: dict[Cost, str] = {"parameters": "loss_by_size", "time": "loss_by_time"}
AXES: dict[Cost, str] = {
    "parameters": "trained parameters (logarithmic)",
    "time": "seconds a step (logarithmic)",
}

UNTOLD = ("load not recorded", "not alone")
"""Doubts on step times with which methods are not ordered by them."""
FRONT = "Dotted: the front, methods that no other beats in both."


class Point(NamedTuple):
    """A method's cost, its mean held-out loss, and the loss at each seed."""

    method: str
    cost: float
    loss: float
    seeds: tuple[float, ...]


def points(summary: Mapping[str, Summary], cost: Cost) -> list[Point]:
    """Return the methods that have both a cost and a loss, and diverged at no seed: the others would be flattered."""
    entries = _drawn(summary, cost)
    shared = set.intersection(*(set(entry.seeds) for entry in entries)) if entries else set()
    found = []
    for entry in entries:
        paid = entry.trainable_parameters if cost == "parameters" else entry.step_seconds
        losses = zip(entry.seeds, entry.eval_losses, strict=True)
        seeds = tuple(loss for seed, loss in losses if loss is not None and (seed in shared or not shared))
        found.append(Point(entry.method, float(paid or 0.0), sum(seeds) / len(seeds), seeds))
    return found


def _drawn(summary: Mapping[str, Summary], cost: Cost) -> list[Summary]:
    def is_drawn(entry: Summary) -> bool:
        paid = entry.trainable_parameters if cost == "parameters" else entry.step_seconds
        return entry.method != BASE and bool(paid and entry.eval_losses) and None not in entry.eval_losses

    return [entry for entry in summary.values() if is_drawn(entry)]


def front(found: Sequence[Point]) -> list[Point]:
    """Return the Pareto front, cheapest first."""
    best: list[Point] = []
    for point in sorted(found, key=lambda point: (point.cost, point.loss)):
        if not best or point.loss < best[-1].loss:
            best.append(point)
    return best


def pareto_figure(
    summary: Mapping[str, Summary], cost: Cost, styles: Mapping[str, Style], named: Collection[str],
    beside: Sequence[Mapping[str, Summary]],
) -> ReportFigure | None:  # fmt: skip
    """Return the figure, or `None` if no method has both a cost and a loss."""
    own = points(summary, cost)
    if not own:
        return None
    every = [*own, *(point for other in beside for point in points(other, cost))]
    best = front(own)
    base = summary[BASE].eval_loss if BASE in summary else None
    names = ", ".join(point.method for point in best)
    unit = "parameters" if cost == "parameters" else "seconds a step"
    told = "; ".join(f"{p.method}: {p.cost:,.3g} {unit}, loss {p.loss:.3f}" for p in own)
    doubted = cost == "time" and any(entry.step_time_doubt in UNTOLD for entry in summary.values())
    off = off_scale(base, every)
    differ = len({entry.seeds for entry in _drawn(summary, cost)}) > 1
    return ReportFigure(
        NAMES[cost],
        TITLES[cost],
        f"Nats a token. Large: mean over {'the seeds that all have' if differ else 'seeds'}; small: one seed. "
        + ("Other programs ran beside it, or may have: this says nothing about speed." if doubted else FRONT)
        + (f" Off the scale: untouched model, {base:.3f}." if base is not None and off else ""),
        f"{told}." if doubted else f"On the front: {names}. {told}.",
        3.9,
        lambda figure: draw_points(figure, own, every, cost, styles, named, None if off else base, not doubted),
    )


def draw_points(
    figure: Figure, own: Sequence[Point], every: Sequence[Point], cost: Cost, styles: Mapping[str, Style],
    named: Collection[str], base: float | None, with_front: bool,
) -> Notes:  # fmt: skip
    """Draw each point with its name, the front, and the loss of the untouched model where it is on the scale."""
    axes = figure.subplots()
    axes.set_xscale("log")
    notes: Notes = {}
    for number, point in enumerate(own):
        style, front_row = styles[point.method], point.method in named
        axes.plot([point.cost] * len(point.seeds), point.seeds, color=style.hex, marker=style.marker, linestyle="",
                  markersize=3.5, alpha=0.5, markeredgewidth=0)  # fmt: skip
        (drawn,) = axes.plot([point.cost], [point.loss], color=style.hex, marker=style.marker, linestyle="",
                             markersize=9 if front_row else 6.5, markeredgewidth=0)  # fmt: skip
        drawn.set_gid(f"point-{number}")
        notes[f"point-{number}"] = f"{point.method}: {point.cost:,.4g}, loss {point.loss:.4f}"
    best = front(own)
    low, high = _limits(axes, every, base)
    if with_front:
        draw_front(axes, best)
    if base is not None:
        draw_untouched(axes, base)
    axes.set_ylim(low, high)
    dress(axes, "both")
    axes.set_xlabel(AXES[cost])
    name_at_right(axes, [End(point.loss, point.method, styles[point.method]) for point in own if point.method in named])
    return notes


def draw_front(axes: Axes, best: Sequence[Point]) -> None:
    """Draw the front down to the best, then right to the edge: a higher cost buys at least that loss."""
    costs = [point.cost for point in best] + [axes.get_xlim()[1]]
    losses = [point.loss for point in best] + [best[-1].loss]
    axes.step(costs, losses, where="post", color=INK, linewidth=1.2, linestyle=(0, (1, 2)), alpha=0.8, zorder=1)


def draw_untouched(axes: Axes, loss: float) -> None:
    """Draw the loss of the untouched model as a named line."""
    axes.axhline(loss, color=INK, linewidth=1, linestyle=(0, (6, 3)), alpha=0.6)
    axes.annotate("untouched model", (0.01, loss), xycoords=("axes fraction", "data"), xytext=(0, 3),
                  textcoords="offset points", color=INK, fontsize=SMALL)  # fmt: skip


def _limits(axes: Axes, every: Sequence[Point], base: float | None) -> tuple[float, float]:
    """Set the cost axis, and return the limits of the loss with a margin."""
    cost_axis(axes, [point.cost for point in every])
    losses = [loss for point in every for loss in point.seeds] + ([base] if base is not None else [])
    room = 0.08 * (max(losses) - min(losses) or 0.1)
    return min(losses) - room, max(losses) + room


def cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    """Give a logarithmic cost axis its limits, with a margin, and a few readable ticks."""
    room = max(1.15, (max(costs) / min(costs)) ** 0.08)
    axes.set_xlim(min(costs) / room, max(costs) * room)
    axes.xaxis.set_major_locator(LogLocator(subs=_ticks(max(costs) * room / (min(costs) / room)), numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(float(f"{value:.3g}"))))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _ticks(ratio: float) -> tuple[float, ...]:
    """Return the ticks per decade: more if the axis spans less."""
    if ratio < 4:
        return (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    return (1, 2, 5) if ratio < 100 else (1,)


def off_scale(base: float | None, every: Sequence[Point]) -> bool:
    """Whether the untouched model's loss would compress the rest of the axis."""
    losses = [point.loss for point in every]
    low, high = min(losses), max(losses)
    return base is not None and not low - (high - low) <= base <= high + (high - low)
