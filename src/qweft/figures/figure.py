"""A figure of a report, drawn with matplotlib and written as SVG or PNG."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qweft.figures.styles import COLOURS, INK, PAPER, Style, fitting
from qweft.files import write_bytes

SMALL, NORMAL = 9.5, 10.5
"""Font sizes in points."""


class End(NamedTuple):
    """The y value at the end of a method's line, or of a point, to label at the right."""

    value: float
    method: str
    style: Style


def dress(axes: Axes, grid: str = "y") -> None:
    """Apply the shared style, with gridlines along an axis: "x", "y" or "both"."""
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
    """Label each method's end outside, at the right of axes with final limits, shifted to avoid overlaps."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ordered = sorted(ends)
    inside = [min(max((end.value - low) / (high - low), 0.0), 1.0) for end in ordered]
    size = NORMAL if len(ordered) <= 10 else SMALL - 1
    height = size / 72 * 1.12 / (axes.get_position().height * axes.figure.get_figheight())  # type: ignore[union-attr]
    for place, at, end in zip(spread(inside, gap=height), inside, ordered, strict=True):
        style = end.style
        how: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False, "color": style.hex}
        axes.plot([1.0, 1.04], [at, place], linewidth=1, zorder=1, **how)
        axes.plot([1.065], [place], marker=style.marker, markersize=5.5, markeredgewidth=0, **how)
        text = axes.text(1.095, place, fitting(end.method), transform=axes.transAxes, color=INK, fontsize=size)
        text.set(verticalalignment="center", parse_math=False)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move ascending positions as little as needed to be `gap` apart; crowded groups keep their centre."""
    groups: list[tuple[float, int]] = []  # centre, members
    for place in places:
        b, n = place, 1
        while groups and b - groups[-1][0] < gap * (groups[-1][1] + n) / 2 - 1e-12:
            a, m = groups.pop()
            b, n = (a * m + b * n) / (m + n), m + n
        groups.append((b, n))
    return [centre + gap * (k - (members - 1) / 2) for centre, members in groups for k in range(members)]


WIDTH, DPI = 4.7, 160
"""Width of a figure in inches, which fits a phone's screen unscaled, and dots per inch of a PNG."""
UNITS = 72 * WIDTH
"""Width of a figure in SVG units (points)."""


@dataclass(frozen=True)
class ReportFigure:
    """One figure."""

    name: str  # of its file, and prefix of its ids, such as "loss_curves"
    title: str  # not drawn in the figure
    caption: str  # how to read it
    description: str  # for readers who cannot see it
    height: float  # in inches
    draw: Callable[[Figure], object]  # into an empty figure

    def svg(self) -> str:
        """Return the figure as a self-contained <svg>."""
        saved = self._saved("svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return _element(saved.decode(), self.name, self.title, self.description)

    @property
    def file(self) -> str:
        """Name of the file that `write` creates."""
        return f"{self.name}.png"

    def write(self, folder: Path) -> Path:
        """Write the figure as PNG atomically, and return its path."""
        write_bytes(folder / self.file, self._saved("png", dpi=DPI, facecolor="white"))
        return folder / self.file

    def _saved(self, kind: str, **options: Any) -> bytes:
        """Return the figure as a file of a kind, the same everywhere."""
        buffer = io.BytesIO()
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rc("svg", fonttype="none", hashsalt=self.name)
            figure = Figure(figsize=(WIDTH, self.height), layout="constrained", facecolor="none")
            self.draw(figure)
            figure.savefig(buffer, format=kind, **options)
        return buffer.getvalue()


def _element(text: str, name: str, title: str, description: str) -> str:
    """Turn matplotlib's SVG file into an element: no prolog or metadata, the page's font and colours."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # ids that something refers to are hashes; the others would come twice on a page
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", text)
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
