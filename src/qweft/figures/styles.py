"""The style of each method in every figure: a colour, a dash and a marker."""

from collections.abc import Iterable
from dataclasses import dataclass

COLOURS = ("#0072B2", "#E8471C", "#15A068", "#B95F8F", "#9C8F2C", "#2594F1")
"""Variants of Okabe and Ito's colours, distinguishable with any colour vision and visible on white."""

DASHES = ((), (6, 2.5), (6, 2, 1.5, 2), (1.5, 1.8), (4, 1.5, 1, 1.5, 1, 1.5), (9, 2.5))
"""Lengths of dashes and gaps in line widths; an empty tuple is a solid line."""

SHAPES = {
    "o": '<circle cx="20" cy="8" r="4.5"/>',
    "s": '<path d="M16 4h8v8h-8z"/>',
    "^": '<path d="M20 2.5l5 9.5h-10z"/>',
    "D": '<path d="M20 2l6 6-6 6-6-6z"/>',
    "v": '<path d="M20 13.5l5-9.5h-10z"/>',
    "P": '<path d="M18 2.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5v-4h3.5z"/>',
    "X": '<path d="M16 2l4 3.2L24 2l2 2-3.2 4L26 12l-2 2-4-3.2L16 14l-2-2 3.2-4L14 4z"/>',
}
"""The markers of matplotlib by name, as SVG, centred at (20, 8)."""

INK = "#222324"
"""Colour of everything but the series; a page replaces it by its text colour."""

PAPER = "#FDFEFE"
"""Fill of hollow shapes; a page replaces it by its background colour."""

LONGEST_NAME = 16
"""Longest method name in a figure; longer ones are shortened, and the legend shows them in full."""


@dataclass(frozen=True)
class Style:
    """The style of one method: an index into `COLOURS` and into `DASHES`, and a key of `SHAPES`."""

    colour: int
    dash: int
    marker: str

    @property
    def hex(self) -> str:
        """The colour as a hex code."""
        return COLOURS[self.colour]

    @property
    def line(self) -> object:
        """The line style for matplotlib."""
        return (0, DASHES[self.dash]) if DASHES[self.dash] else "-"

    def swatch(self) -> str:
        """Return a small <svg> of the line and its marker, for a legend."""
        pattern = " ".join(f"{2 * length:g}" for length in DASHES[self.dash])
        dashes = f' stroke-dasharray="{pattern}"' if pattern else ""
        colour = f"var(--series-{self.colour}, {self.hex})"
        return (
            f'<svg class="swatch" viewBox="0 0 40 16" width="40" height="16" aria-hidden="true" '
            f'style="color: {colour}">'
            f'<path d="M0 8H40" stroke="currentColor" stroke-width="2"{dashes}/>'
            f'<g fill="currentColor">{SHAPES[self.marker]}</g></svg>'
        )


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """Return the style of each method, by its position; no two of the first 36 share colour and dash."""
    places, colours, shapes = enumerate(dict.fromkeys(methods)), len(COLOURS), list(SHAPES)
    return {n: Style(i % colours, (i + i // colours) % len(DASHES), shapes[i % len(shapes)]) for i, n in places}


def fitting(name: str) -> str:
    """Shorten a name to `LONGEST_NAME` characters in its middle, since names often differ only at their end."""
    if len(name) > LONGEST_NAME:
        half = (LONGEST_NAME - 1) // 2
        name = f"{name[: LONGEST_NAME - 1 - half]}…{name[-half:]}"
    return name.replace("$", r"\$")  # which matplotlib would else read as the start of a formula
