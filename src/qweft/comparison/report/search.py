"""The search for learning rates: validation loss by rate, method by method."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qweft.figures.figure import End, Notes, ReportFigure, dress, name_at_right
from qweft.figures.styles import INK, Style


@dataclass(frozen=True)
class Search:
    """One method's search.

    Args:
        method: Its name.
        best: The chosen rate.
        at_end: Whether it is the largest or smallest rate that was tried, so that a better one may lie beyond.
        losses: Validation loss by rate, ascending; `None` if the run diverged.
    """

    method: str
    best: float
    at_end: bool
    losses: dict[float, float | None]


def searches(record: Mapping[str, Any] | None) -> list[Search]:
    """Returns the searches in results.json; empty without a search.

    Args:
        record: The content of "search".
    """
    return [
        Search(
            method,
            float(entry["best"]),
            bool(entry.get("at_end_of_grid")),
            dict(sorted((float(rate), loss) for rate, loss in entry["validation_loss"].items())),
        )
        for method, entry in (record or {}).items()
        if entry["validation_loss"]  # empty if the rate was given, or is another method's
    ]


def search_figure(
    found: Sequence[Search], styles: Mapping[str, Style], named: Collection[str], beside: Sequence[Sequence[Search]]
) -> ReportFigure | None:
    """Returns the figure, or `None` if no method was searched.

    Args:
        found: The searches of this comparison.
        styles: Style of each method.
        named: Methods that are labelled at the end of their line; the others are drawn fainter.
        beside: The searches of all comparisons on the page, which share their scales.
    """
    own = [entry for entry in found if _finite(entry)]
    if not own:
        return None
    every = [*own, *(entry for other in beside for entry in other if _finite(entry))]
    told = "; ".join(f"{e.method} best at {e.best:g}{', an end of what was tried' if e.at_end else ''}" for e in own)
    return ReportFigure(
        "learning_rates",
        "Validation loss by learning rate",
        "Nats a token on the validation rows. Ringed: the rate that was chosen.",
        f"{told}.",
        3.9,
        lambda figure: _draw(figure, own, every, styles, named),
    )


def _draw(
    figure: Figure, own: Sequence[Search], every: Sequence[Search], styles: Mapping[str, Style], named: Collection[str]
) -> Notes:
    axes = figure.subplots()
    axes.set_xscale("log")
    for entry in own:
        style, tried, front = styles[entry.method], _finite(entry), entry.method in named
        axes.plot(list(tried), list(tried.values()), color=style.hex, linestyle=style.line, markeredgewidth=0,
                  linewidth=1.6 if front else 0.8, marker=style.marker, markersize=5 if front else 3,
                  alpha=1 if front else 0.6)  # fmt: skip
        if entry.best in tried and front:
            axes.plot([entry.best], [tried[entry.best]], linestyle="", marker="o", markersize=10,
                      markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.2)  # fmt: skip
    rates = [rate for entry in every for rate in _finite(entry)]
    losses = [loss for entry in every for loss in _finite(entry).values()]
    least = min(losses)
    # The worst of the best losses sets the limit, not a run that failed at a rate far too large
    most = min(max(losses), least + 3 * (max(min(_finite(e).values()) for e in every) - least) + 0.06 * abs(least))
    axes.set_ylim(least - 0.06 * (most - least or 1), most + 0.06 * (most - least or 1))
    axes.set_xlim(min(rates) / 1.4, max(rates) * 1.4)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("peak learning rate (logarithmic)")
    dress(axes)
    told = [entry for entry in own if entry.method in named]
    name_at_right(axes, [End(list(_finite(e).values())[-1], e.method, styles[e.method]) for e in told])
    return {}


def _finite(entry: Search) -> dict[float, float]:
    """Returns the rates whose run did not diverge, with their losses."""
    return {rate: loss for rate, loss in entry.losses.items() if loss is not None and math.isfinite(loss)}
