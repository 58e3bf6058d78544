"""The figure of the search for learning rates: each method's curve of validation loss by rate."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qweft.comparison.rates import parabola
from qweft.comparison.searched import Search
from qweft.figures.figure import NORMAL, SMALL, ReportFigure, dress
from qweft.figures.styles import INK, Style, fitting

COLUMNS, PANEL = 3, 1.25
"""Panels side by side, and the height of one in inches."""


def search_figure(found: Sequence[Search], styles: Mapping[str, Style]) -> ReportFigure | None:
    """Return the figure, a panel a method, or `None` if no method was searched."""
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
        lambda figure: _draw(figure, own, styles),
    )


def _finite(entry: Search) -> dict[float, float]:
    """Return the rates whose runs did not diverge, with their mean losses."""
    return {rate: loss for rate, loss in entry.losses.items() if math.isfinite(loss)}


def _draw(figure: Figure, own: Sequence[Search], styles: Mapping[str, Style]) -> None:
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
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    dress(axes)
