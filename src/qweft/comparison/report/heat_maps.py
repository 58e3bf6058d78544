"""Heat maps of blocks and modules, one figure per measure."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qweft.comparison.report.inspection import Inspection, Measure
from qweft.figures.figure import SMALL, ReportFigure
from qweft.figures.styles import INK, fitting

COLOURS = matplotlib.colormaps["cividis"].resampled(16)
"""Perceptually uniform, and readable with any colour vision and in grey."""
ROW, HEAD, FOOT = 0.2, 0.3, 1.0
"""Heights of a module's row, of a method's name, and of axis and scale, in inches."""


def heat_map(measure: Measure, found: Mapping[str, Inspection]) -> ReportFigure:
    """Return the maps of all methods that have a measure, one above the other."""
    own = [entry for entry in found.values() if entry.values[measure.key]]
    low, high, most = ends([number for entry in own for number in entry.values[measure.key].values()])
    ranges = [(entry.method, *map(measure.said, entry.over_layers(measure.key))) for entry in own]
    return ReportFigure(
        f"map_{measure.key.replace('.', '_')}",
        measure.title,
        measure.meaning + (f" Cells above {measure.said(high)} have its colour." if most > high else ""),
        "; ".join(f"{method}: mean {mean}, from {least} to {largest}" for method, mean, least, largest in ranges),
        FOOT + HEAD * len(own) + ROW * sum(len(entry.modules(measure.key)) for entry in own),
        lambda figure: _draw(figure, measure, own, Normalize(low, high, clip=True)),
    )


def ends(numbers: Sequence[float]) -> tuple[float, float, float]:
    """Return both ends of a scale and the largest number, above the scale if outliers would make all others alike."""
    ordered = sorted(numbers)
    low, high, most = ordered[0], ordered[math.ceil(0.98 * len(ordered)) - 1], ordered[-1]
    return low, high if high > low and most - low > 2 * (high - low) else most, most


def _draw(figure: Figure, measure: Measure, own: Sequence[Inspection], norm: Normalize) -> None:
    modules = [entry.modules(measure.key) for entry in own]
    figure.subplots(len(own), 1, sharex=True, height_ratios=[len(names) for names in modules])
    blocks = 1 + max(block for entry in own for _, block in entry.values[measure.key])
    for axes, entry, names in zip(figure.axes, own, modules, strict=True):
        table = np.full((len(names), blocks), np.nan)
        for (module, block), number in entry.values[measure.key].items():
            table[names.index(module), block] = number
        axes.pcolormesh(np.arange(blocks + 1) - 0.5, np.arange(len(names) + 1), table, cmap=COLOURS, norm=norm)
        axes.invert_yaxis()
        axes.set_yticks(np.arange(len(names)) + 0.5, [fitting(name) for name in names])
        axes.set_title(entry.method, loc="left", color=INK, fontsize=SMALL, fontweight="bold", parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.tick_params(colors=INK, labelsize=SMALL, length=0)
        axes.spines[:].set_visible(False)
        axes.patch.set_alpha(0)
    figure.axes[-1].set_xlabel("block", color=INK, fontsize=SMALL)
    scale = ScalarMappable(norm, COLOURS)
    bar = figure.colorbar(scale, ax=figure.axes, orientation="horizontal", aspect=40, pad=0.02, ticks=MaxNLocator(5))
    bar.formatter = FuncFormatter(lambda number, _: measure.said(number))
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=SMALL)
