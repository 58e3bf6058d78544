"""How many directions the branches use: singular values of their Jacobians, mean over layers."""

from collections.abc import Collection, Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qweft.comparison.report.inspection import Inspection
from qweft.figures.axes import End, dress, name_at_right
from qweft.figures.looks import Look
from qweft.figures.plate import Notes, Plate


def spectra_plate(
    found: Mapping[str, Inspection], look: Mapping[str, Look], named: Collection[str],
    beside: Sequence[Mapping[str, Inspection]],
) -> Plate | None:  # fmt: skip
    """The figure, or none where no method has a spectrum.

    Args:
        found: From `inspections`.
        look: Of each method.
        named: The methods that are named beside their ends; the others stand back.
        beside: The inspections of all comparisons on the page, which share their scales.
    """
    own = [entry for entry in found.values() if entry.spectrum]
    if not own:
        return None
    every = [entry for group in (found, *beside) for entry in group.values() if entry.spectrum]
    told = "; ".join(f"{e.method}: {', '.join(f'{value:.2g}' for value in e.spectrum[:8])}" for e in own)
    return Plate(
        "spectra",
        "Singular values of the branches",
        "Of the Jacobians over all tokens, each as a share of the layer's largest; mean over layers.",
        f"{told}.",
        3.9,
        lambda figure: _draw(figure, own, every, look, named),
    )


def _draw(
    figure: Figure, own: Sequence[Inspection], every: Sequence[Inspection], look: Mapping[str, Look],
    named: Collection[str],
) -> Notes:  # fmt: skip
    axes = figure.subplots()
    for entry in own:
        style = look[entry.method]
        values = entry.spectrum
        axes.plot(range(1, len(values) + 1), values, color=style.hex, linestyle=style.line, linewidth=1.6,
                  marker=style.marker, markersize=4.5, markeredgewidth=0)  # fmt: skip
    axes.set_xlim(0.8, max(len(entry.spectrum) for entry in every) + 0.2)
    axes.set_ylim(0, 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("singular value, largest first")
    dress(axes)
    ends = [End(entry.spectrum[-1], entry.method, look[entry.method]) for entry in own if entry.method in named]
    name_at_right(axes, ends)
    return {}
