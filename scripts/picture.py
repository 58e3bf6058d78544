"""A picture of the documentation: a light and a dark SVG file, which say what numbers they show.

A stamp in the file is a hash of these numbers. So a test tells a picture whose results have changed without comparing
pixels, and whatever version of matplotlib drew it.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from qweft.figures.figure import UNITS, ReportFigure
from qweft.figures.styles import COLOURS, INK

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
THEMES = {
    "light": {"ink": INK, "page": "#FFFFFF", "series": COLOURS},
    "dark": {
        "ink": "#D5D8DF",
        "page": "#1E2129",
        "series": ("#4A97EA", "#F0704A", "#33C795", "#C9709F", "#E8C84A", "#A9D8FF"),
    },
}
"""Colours of both files; those of the dark one are the report's."""

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture of the documentation.

    Args:
        name: Of its files: NAME-light.svg, NAME-dark.svg.
        title: What it shows, for readers who cannot see it; the page's alt text says more.
        height: In inches; the width is that of all figures.
        read: Reads the numbers from the committed results.
        draw: Draws them.
    """

    name: str
    title: str
    height: float
    read: Callable[[], Numbers]
    draw: Callable[[Figure, Numbers], object]

    def file(self, theme: str) -> Path:
        """Where the picture is kept."""
        return FOLDER / f"{self.name}-{theme}.svg"

    def svg(self, theme: str) -> str:
        """Returns the picture as a whole SVG file."""
        numbers, colours = self.read(), THEMES[theme]

        text = ReportFigure(self.name, self.title, "", "", self.height, lambda figure: self.draw(figure, numbers)).svg()
        text = re.sub(r'<desc id="[^"]*">.*?</desc>', f"<metadata>{stamp(numbers)}</metadata>", text)
        text = re.sub(r'aria-labelledby="[^"]*"', f'aria-label="{self.title}"', text, count=1)
        series = "".join(f"--series-{place}:{colour};" for place, colour in enumerate(colours["series"]))
        style = f"color:{colours['ink']};--page:{colours['page']};{series}font-family:{FONT}"
        size = f'width="{UNITS * 4 / 3:.0f}" height="{72 * self.height * 4 / 3:.0f}"'
        return text.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{style}" ', 1) + "\n"


def stamp(numbers: Numbers) -> str:
    """Returns a hash of the numbers, to three digits: bootstrap quantiles may differ in the last ones by machine."""
    return "sha256 " + hashlib.sha256(json.dumps(_rounded(numbers), sort_keys=True).encode()).hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return f"{value:.3g}" if isinstance(value, float) else value


def read_json(path: str) -> Any:
    """Returns what a file of the repository holds."""
    return json.loads((ROOT / path).read_text(encoding="utf-8"))
