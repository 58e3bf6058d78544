"""One figure of the report: drawn once, written as SVG for the page and as PNG for Markdown."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from qweft.figures.looks import COLOURS, INK, PAPER
from qweft.files import write_bytes

WIDTH = 4.7
"""Inches of a figure; a phone shows it at its own size."""

UNITS = 72 * WIDTH
"""The same in the units of its SVG."""

DPI = 160

Notes = dict[str, str]
"""Texts that appear over parts of a figure, by the part's gid."""


@dataclass(frozen=True)
class Plate:
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
