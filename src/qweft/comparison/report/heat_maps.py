"""Layer by layer: for each measure a map of blocks and modules, one scale for all methods."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from qweft.comparison.report.axes import NORMAL, SMALL
from qweft.comparison.report.inspection import Inspection, Measure
from qweft.comparison.report.looks import INK
from qweft.comparison.report.plate import Notes, Plate

COLOUR_MAP = "cividis"
"""Even steps of it look even, and it reads the same with any colour vision and in grey."""

GAP, HEAD = 0.6, 1.0
"""Heights between and above the maps, in rows."""


def heat_map_plate(
    measure: Measure, found: Mapping[str, Inspection], beside: Sequence[Mapping[str, Inspection]]
) -> Plate | None:
    """The figure of one measure: below each other the maps of all methods that have it, or none where none has.

    Args:
        measure: What is shown.
        found: From `inspections`.
        beside: The inspections of all comparisons on the page, which share their scale.
    """
    own = [entry for entry in found.values() if entry.values.get(measure.key)]
    if not own:
        return None
    every = [entry for group in (found, *beside) for entry in group.values()]
    numbers = [number for entry in every for number in entry.values.get(measure.key, {}).values()]
    rows = sum(len(_modules(entry, measure)) + HEAD + GAP for entry in own)
    told = "; ".join(
        f"{e.method}: mean {_said(e.mean(measure.key))}, from {min(v):.3g} to {max(v):.3g}"
        for e in own
        if (v := list(e.values[measure.key].values()))
    )
    return Plate(
        f"map_{measure.key.replace('.', '_')}",
        measure.title,
        measure.meaning,
        f"{told}.",
        0.85 + 0.21 * rows,
        lambda figure: _draw(figure, measure, own, rows, Normalize(min(numbers), max(numbers))),
    )


def _draw(figure: Figure, measure: Measure, own: Sequence[Inspection], rows: float, scale: Normalize) -> Notes:
    axes = figure.subplots()
    notes: Notes = {}
    blocks = 1 + max(block for entry in own for _, block in entry.values[measure.key])
    top, ticks = 0.0, []
    for number, entry in enumerate(own):
        axes.text(-0.5, top + 0.55, entry.method, color=INK, fontsize=NORMAL, fontweight="bold", parse_math=False,
                  verticalalignment="center")  # fmt: skip
        top += HEAD
        modules = _modules(entry, measure)
        ticks += [(top + row + 0.5, module) for row, module in enumerate(modules)]
        notes |= _cells(axes, measure, entry, modules, top, scale, f"cell-{number}")
        top += len(modules) + GAP
    axes.set_xlim(-0.5, blocks - 0.5)
    axes.set_ylim(rows - GAP, 0)
    axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    axes.set_xlabel("block")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK, labelsize=SMALL, length=0)
    axes.xaxis.label.set(color=INK, fontsize=NORMAL)
    _bar(figure, axes, scale)
    return notes


def _cells(
    axes: Axes, measure: Measure, entry: Inspection, modules: Sequence[str], top: float, scale: Normalize, gid: str
) -> Notes:
    """One method's map; each cell says its number when it is pointed at."""
    colours = matplotlib.colormaps[COLOUR_MAP]
    notes: Notes = {}
    for (module, block), number in entry.values[measure.key].items():
        cell = Rectangle((block - 0.5, top + modules.index(module)), 1, 1, linewidth=0.4, clip_on=False,
                         color=to_hex(colours(scale(number))))  # fmt: skip
        cell.set_gid(f"{gid}-{len(notes)}-")
        cell.set_in_layout(False)  # thousands of them; the axes have their room already
        notes[f"{gid}-{len(notes)}-"] = f"{entry.method}, block {block}, {module}: {number:.4g}"
        axes.add_artist(cell)
    return notes


def _bar(figure: Figure, axes: Axes, scale: Normalize) -> None:
    """The scale below the maps, in few enough steps to stay a drawing: matplotlib makes a picture of more."""
    steps = ScalarMappable(scale, matplotlib.colormaps[COLOUR_MAP].resampled(48))
    bar = figure.colorbar(steps, ax=axes, orientation="horizontal", fraction=0.08, pad=0.02, aspect=40)
    bar.solids.set_edgecolor("face")  # type: ignore[union-attr]
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(colors=INK, labelsize=SMALL, length=2)
    bar.ax.locator_params(nbins=6)


def _modules(entry: Inspection, measure: Measure) -> list[str]:
    """The modules that have the measure, in their order."""
    having = {module for module, _ in entry.values[measure.key]}
    return [module for module in entry.modules if module in having]


def _said(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3g}"
