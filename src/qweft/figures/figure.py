"""One figure of the report: quiet axes, drawn once, written as SVG and as PNG."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from qweft.figures.styles import COLOURS, INK, PAPER, Style, fitting
from qweft.files import write_bytes

SMALL, NORMAL = 9.5, 10.5
"""Sizes of text in points."""


class End(NamedTuple):
    """The end of a line, or a point, whose name stands at the right."""

    value: float
    method: str
    look: Style


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


WIDTH = 4.7
"""Inches of a figure; a phone shows it at its own size."""

UNITS = 72 * WIDTH
"""The same in the units of its SVG."""

DPI = 160

Notes = dict[str, str]
"""Texts that appear over parts of a figure, by the part's gid."""


@dataclass(frozen=True)
class ReportFigure:
    """One figure.

    Args:
        name: Names its file and begins its ids: "loss_curves".
        title: What it shows, in a few words; the figure itself has no title.
        caption: How to read it.
        description: What can be seen in it, in words, for those who cannot see it.
        height: In inches.
        draw: Draws into an empty figure, and returns the notes on its parts.
    """

    name: str
    title: str
    caption: str
    description: str
    height: float
    draw: Callable[[Figure], Notes]

    def svg(self, prefix: str = "") -> str:
        """The figure as an element for a page: it refers to nothing outside itself, its text is text, in its colours.

        Args:
            prefix: Goes before every id, where a page has this figure more than once.
        """
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            figure, notes = self._drawn()
            FigureCanvasSVG(figure)
            figure.patch.set_alpha(0)
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return _element(buffer.getvalue(), f"{prefix}{self.name}", self.title, self.description, notes)

    @property
    def file(self) -> str:
        """What `write` calls its file."""
        return f"{self.name}.png"

    def write(self, folder: Path) -> Path:
        """Write the figure beside its place and rename it; returns its path."""
        figure, _ = self._drawn()
        FigureCanvasAgg(figure)
        figure.patch.set_facecolor("white")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        path = folder / self.file
        write_bytes(path, buffer.getvalue())
        return path

    def _drawn(self) -> tuple[Figure, Notes]:
        figure = Figure(figsize=(WIDTH, self.height), layout="constrained")
        return figure, self.draw(figure)


def _element(text: str, name: str, title: str, description: str, notes: Notes) -> str:
    """Matplotlib's file as an element: no prolog, no metadata, ids of its own, the page's font and colours."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for part, note in notes.items():
        text = text.replace(f'<g id="{part}">', f'<g id="{part}"><title>{escape(note)}</title>', 1)
    # matplotlib names parts at random; a page that is made again should be the same, and hold each name once.
    names: dict[str, str] = {}
    for found in re.findall(r'\bid="([^"]+)"', text):
        names.setdefault(found, f"{name}-{len(names)}")
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda match: f' id="{names[match[1]]}"' if match[1] in used else "", text)
    text = re.sub(r'(href="|url\()#([^")]+)', lambda match: f"{match[1]}#{names[match[2]]}", text)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"font-family: [^;\"]+", "font-family: inherit", text)
    text = re.sub(r"(font: (?:\w+ )?[\d.]+px )[^;\"]+", r"\1inherit", text)
    head = f'<svg role="img" aria-labelledby="{name}-title {name}-desc"'
    told = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    view = re.search(r'viewBox="([^"]*)"', text)
    text = re.sub(r"<svg[^>]*>", lambda _: f"{head} {view[0] if view else ''}>{told}", text, count=1)
    for number, colour in enumerate(COLOURS):
        text = re.sub(colour, f"var(--series-{number}, {colour})", text, flags=re.IGNORECASE)
    text = re.sub(PAPER, f"var(--page, {PAPER})", text, flags=re.IGNORECASE)
    return re.sub(INK, "currentColor", text, flags=re.IGNORECASE)
