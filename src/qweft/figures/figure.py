"""A figure of a report, drawn with matplotlib and written as SVG or PNG."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

from qweft.core.files import write_bytes
from qweft.figures.styles import COLOURS, INK, PAPER

SMALL, NORMAL = 9.5, 10.5
"""Font sizes in points."""
FRAME = {
    "font.size": SMALL,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": NORMAL,
    "axes.titlesize": SMALL,
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.labelsize": NORMAL,
    "grid.color": INK,
    "grid.alpha": 0.13,
    "legend.frameon": False,
    "xtick.color": INK,
    "xtick.minor.size": 0,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "svg.fonttype": "none",
}
"""The style of all figures, as settings of matplotlib."""

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
        with style.context([FRAME, {"svg.hashsalt": self.name}], after_reset=True):
            figure = Figure(figsize=(WIDTH, self.height), layout="constrained", facecolor="none")
            self.draw(figure)
            figure.savefig(buffer, format=kind, **options)
        return buffer.getvalue()


def _element(text: str, name: str, title: str, description: str) -> str:
    """Turn matplotlib's SVG file into an element: no prolog or metadata, the page's font and colours."""
    text = text[text.index("<svg") :]
    # ids that something refers to are hashes; the others would come twice on a page
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", text)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"font-family: [^;\"]+", "font-family: inherit", text)
    head = f'<svg role="img" aria-labelledby="{name}-title {name}-desc"'
    told = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    view = re.search(r'viewBox="([^"]*)"', text)
    text = re.sub(r"<svg[^>]*>", lambda _: f"{head} {view[0] if view else ''}>{told}", text, count=1)
    for number, colour in enumerate(COLOURS):
        text = re.sub(colour, f"var(--series-{number}, {colour})", text, flags=re.IGNORECASE)
    text = re.sub(PAPER, f"var(--page, {PAPER})", text, flags=re.IGNORECASE)
    return re.sub(INK, "currentColor", text, flags=re.IGNORECASE)
