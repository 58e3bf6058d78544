"""What the figures have in common: quiet axes, and names beside the ends of lines."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from qweft.figures.looks import INK, Look, fitting

SMALL, NORMAL = 9.5, 10.5
"""Sizes of text in points."""


class End(NamedTuple):
    """The end of a line, or a point, whose name stands at the right."""

    value: float
    method: str
    look: Look


def dress(axes: Axes, grid: str = "y") -> None:
    """Take away from the axes what says nothing.

    Args:
        axes: Drawn already.
        grid: Which gridlines there are: "x", "y" or "both".
    """
    axes.patch.set_alpha(0)
    axes.grid(axis=grid, color=INK, alpha=0.13, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, labelsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", which="minor", length=0)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=NORMAL)


def name_at_right(axes: Axes, ends: Sequence[End]) -> None:
    """Each method's name beside its end, moved up or down just so far that names do not overlap.

    Args:
        axes: With its final limits; the names stand outside of them.
        ends: One for each method.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ordered = sorted(ends)
    inside = [min(max((end.value - low) / (high - low), 0.0), 1.0) for end in ordered]
    size = NORMAL if len(ordered) <= 10 else SMALL - 1
    height = size / 72 * 1.12 / (axes.get_position().height * axes.figure.get_figheight())  # type: ignore[union-attr]
    for place, at, end in zip(spread(inside, gap=height), inside, ordered, strict=True):
        axes.plot(
            [1.0, 1.04], [at, place], color=end.look.hex, linewidth=1, transform=axes.transAxes, clip_on=False, zorder=1
        )
        axes.plot([1.065], [place], color=end.look.hex, marker=end.look.marker, markersize=5.5, markeredgewidth=0,
                  transform=axes.transAxes, clip_on=False)  # fmt: skip
        # The name in the colour of the text: a series' colour need not be readable as text.
        axes.text(
            1.095, place, fitting(end.method), transform=axes.transAxes, color=INK, fontsize=size,
            verticalalignment="center", parse_math=False,
        )  # fmt: skip


def spread(places: Sequence[float], gap: float) -> list[float]:
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


def short(value: float) -> str:
    """50k, 1M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
