"""Heat maps of blocks and modules, one figure per measure, written directly as SVG."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import matplotlib
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator

from qweft.comparison.report.inspection import Inspection, Measure
from qweft.figures.figure import UNITS
from qweft.figures.styles import INK, fitting
from qweft.files import write_bytes

COLOUR_MAP = "cividis"
"""Perceptually uniform, and readable with any colour vision and in grey."""

ROW, HEAD, GAP, FOOT = 15.0, 17.0, 8.0, 74.0
"""Heights of a module's row, a method's name, the gap between methods, and axis plus scale, in units."""

LETTER = 5.6
"""Width of a letter of small text, in units."""

STOPS = 16
"""Number of colours of the scale; the gradient interpolates between them."""

CRISP = 'shape-rendering="crispEdges"'
"""Smoothed edges would leave seams between cells of one colour."""

ALONE = f"color:{INK};background:#fff;font-family:sans-serif"
"""Style of the SVG as a file; on a page it inherits the page's style."""


@dataclass(frozen=True)
class Scale:
    """Maps numbers to colours."""

    low: float
    high: float
    cut: bool

    @classmethod
    def over(cls, numbers: Sequence[float]) -> "Scale":
        """Return a scale from the smallest to the largest number, unless outliers would make all others look alike."""
        ordered = sorted(numbers)
        low, high, most = ordered[0], ordered[math.ceil(0.98 * len(ordered)) - 1], ordered[-1]
        cut = high > low and most - low > 2 * (high - low)
        return cls(low, high if cut else most, cut)

    def share(self, number: float) -> float:
        """Return the position of a number between the ends, from 0 to 1."""
        return min(max((number - self.low) / ((self.high - self.low) or 1), 0.0), 1.0)

    def colour(self, number: float) -> str:
        """Return the colour of a number as #rrggbb."""
        return str(to_hex(matplotlib.colormaps[COLOUR_MAP](self.share(number))))

    def ticks(self) -> list[float]:
        """Return round numbers between the ends."""
        found = MaxNLocator(5).tick_values(self.low, self.high)
        return [float(tick) for tick in found if self.low <= tick <= self.high]


@dataclass(frozen=True)
class HeatMap:
    """The figure of one measure: the maps of all methods that have it, one above the other."""

    measure: Measure
    shown: tuple[Inspection, ...]
    scale: Scale
    blocks: int

    @property
    def name(self) -> str:
        """Name of its file and prefix of its ids."""
        return f"map_{self.measure.key.replace('.', '_')}"

    @property
    def file(self) -> str:
        """File name that `write` uses."""
        return f"{self.name}.svg"

    @property
    def title(self) -> str:
        """What it shows, in a few words."""
        return self.measure.title

    @property
    def caption(self) -> str:
        """How to read it."""
        beyond = f" Cells above {self.measure.said(self.scale.high)} have its colour." if self.scale.cut else ""
        return self.measure.meaning + beyond

    @property
    def description(self) -> str:
        """Its content in words, for readers who cannot see it."""
        told = []
        for entry in self.shown:
            mean, least, most = (self.measure.said(number) for number in entry.over_layers(self.measure.key))
            told.append(f"{entry.method}: mean {mean}, from {least} to {most}")
        return f"{'; '.join(told)}."

    def svg(self, prefix: str = "") -> str:
        """Return the figure as an element for a page."""
        return self._element(f"{prefix}{self.name}", "")

    def write(self, folder: Path) -> Path:
        """Write the figure atomically and return its path."""
        path = folder / self.file
        write_bytes(path, self._element(self.name, f' xmlns="http://www.w3.org/2000/svg" style="{ALONE}"').encode())
        return path

    def _element(self, name: str, attributes: str) -> str:
        modules = [entry.modules_with(self.measure.key) for entry in self.shown]
        left = 8 + LETTER * max(len(fitting(module)) for found in modules for module in found)
        cell = (UNITS - left - 6) / self.blocks
        height = sum(HEAD + ROW * len(found) + GAP for found in modules) + FOOT
        parts, top = [], 0.0
        for entry, found in zip(self.shown, modules, strict=True):
            parts.append(_label(left, top + 12, entry.method, "start", ' font-weight="bold" font-size="10.5"'))
            top += HEAD
            for module in found:
                parts.append(_label(left - 5, top + 11, fitting(module), "end"))
                place = f'transform="translate({left:.1f} {top:.1f})"'
                parts.append(f"<g {place} {CRISP}>{self._row(entry, module, cell)}</g>")
                top += ROW
            top += GAP
        parts += [*self._axis(left, top, cell), *self._bar(name, left, top + 34)]
        return (
            f'<svg role="img" class="map" aria-labelledby="{name}-title {name}-desc" '
            f'viewBox="0 0 {UNITS:g} {height:.1f}"{attributes}><title id="{name}-title">{escape(self.title)}</title>'
            f'<desc id="{name}-desc">{escape(self.description)}</desc>'
            f'<g fill="currentColor" font-size="9.5">{"".join(parts)}</g></svg>'
        )

    def _row(self, entry: Inspection, module: str, cell: float) -> str:
        """Return a module's cells; each shows its number on hover."""
        size = f'width="{cell + 0.1:.1f}" height="{ROW:g}"'
        name, part = escape(entry.method), escape(module)
        return "".join(
            f'<rect x="{block * cell:.1f}" {size} fill="{self.scale.colour(number)}">'
            f"<title>{name}, block {block}, {part}: {self.measure.exactly(number)}</title></rect>"
            for block, number in entry.row(self.measure.key, module)
        )

    def _axis(self, left: float, top: float, cell: float) -> Iterator[str]:
        """Yield the block numbers."""
        for tick in MaxNLocator(7, integer=True).tick_values(0, self.blocks - 1):
            if 0 <= tick < self.blocks:
                yield _label(left + (tick + 0.5) * cell, top + 5, f"{tick:g}", "middle")
        yield _label(left + self.blocks * cell / 2, top + 19, "block", "middle")

    def _bar(self, name: str, left: float, top: float) -> Iterator[str]:
        """Yield the colour scale below the maps."""
        width, low, high = UNITS - left - 6, self.scale.low, self.scale.high
        shares = [i / (STOPS - 1) for i in range(STOPS)]
        stops = "".join(
            f'<stop offset="{share:.3f}" stop-color="{self.scale.colour(low + (high - low) * share)}"/>'
            for share in shares
        )
        yield f'<linearGradient id="{name}-scale">{stops}</linearGradient>'
        yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="10" fill="url(#{name}-scale)"/>'
        for tick in self.scale.ticks():
            share = self.scale.share(tick)
            anchor = "start" if share < 0.03 else "end" if share > 0.97 else "middle"
            yield _label(left + share * width, top + 22, self.measure.exactly(tick, 3), anchor)


def heat_map(
    measure: Measure, found: Mapping[str, Inspection], beside: Sequence[Mapping[str, Inspection]]
) -> HeatMap | None:
    """Return the figure of one measure, or `None` if no method has it."""
    own = tuple(entry for entry in found.values() if entry.values.get(measure.key))
    if not own:
        return None
    every = [entry for group in (found, *beside) for entry in group.values()]
    numbers = [number for entry in every for number in entry.values.get(measure.key, {}).values()]
    blocks = 1 + max(block for entry in own for _, block in entry.values[measure.key])
    return HeatMap(measure, own, Scale.over(numbers), blocks)


def _label(x: float, y: float, text: str, anchor: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{escape(text)}</text>'
