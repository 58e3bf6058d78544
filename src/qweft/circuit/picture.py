"""A circuit as a picture file: stand-alone SVG, or the same drawn by matplotlib as PNG and PDF."""

import io
import re
from typing import Any
from xml.etree import ElementTree

from qweft.circuit.description import Circuit
from qweft.circuit.drawing import circuit_svg

INK, INPUT = "#222324", "#D6E8F5"
"""Colours of lines and text, and of boxes fed by a token's data."""
POINT = 0.75 / 72
"""Inches per unit of the SVG."""
DPI = 200
LONGEST = 14
"""Largest number of columns of gates in a line; a longer circuit continues below."""
KINDS = ("svg", "png", "pdf")
SVG = "{http://www.w3.org/2000/svg}"


def circuit_picture(circuit: Circuit, kind: str) -> bytes:
    """Return the content of a picture file; equal layers are drawn once.

    Args:
        circuit: Any circuit.
        kind: One of `KINDS`.
    """
    svg = _svg_file(circuit)
    if kind == "svg":
        return svg.encode()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    dates: Any = {"CreationDate": None} if kind == "pdf" else None  # the same circuit gives the same file
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # pictures are the same everywhere
        figure = _drawn(ElementTree.fromstring(svg))
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, dpi=DPI, facecolor="white", metadata=dates)
    return buffer.getvalue()


def _svg_file(circuit: Circuit) -> str:
    """Return the SVG as a file: on white, with its own font and colours, without CSS that only browsers know."""
    text = circuit_svg(circuit, "circuit", LONGEST)
    start = f'<svg xmlns="{SVG[1:-1]}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" '
    text = text.replace("<svg ", start, 1).replace("currentColor", INK)
    text = re.sub(r'(<rect class="input".*?) style="fill: var\(--page, white\)"', rf'\1 fill="{INPUT}"', text)
    text = text.replace('style="fill: var(--page, white)"', 'fill="white"')
    end = text.index("</desc>") + len("</desc>")
    return f'{text[:end]}<rect width="100%" height="100%" fill="white"/>{text[end:]}\n'


def _drawn(root: Any) -> Any:
    """Return the figure of an SVG of `circuit_svg`, in whose axes y grows downwards."""
    from matplotlib.figure import Figure

    width, height = float(root.get("width")), float(root.get("height"))
    figure = Figure(figsize=(width * POINT, height * POINT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for line in root.iter(f"{SVG}g"):
        moved = re.fullmatch(r"translate\(0 (\d+)\)", line.get("transform", ""))
        for order, part in enumerate(line.iter() if moved else ()):
            _draw(axes, part, float(moved[1]), order)  # type: ignore[index]
    return figure


def _draw(axes: Any, part: Any, top: float, order: int) -> None:
    """Draw one path, box, dot or text of the SVG, above all that came before it."""
    from matplotlib.patches import Circle, Rectangle

    at = {name: float(part.get(name)) for name in ("x", "y", "cx", "cy", "r", "width", "height") if part.get(name)}
    kind: str = part.tag.removeprefix(SVG)
    look: Any = {"alpha": float(part.get("opacity", 1)), "zorder": order}
    if kind == "path":  # "M x y" and then "H x" or "V y"
        x, y, end = (float(number) for number in re.findall(r"[\d.]+", part.get("d")))
        ends = ((x, end), (y + top, y + top)) if "H" in part.get("d") else ((x, x), (y + top, end + top))
        axes.plot(*ends, color=INK, lw=0.8, **look)
    elif kind == "circle":
        axes.add_patch(Circle((at["cx"], at["cy"] + top), at["r"], facecolor=INK, **look))
    elif kind == "rect":
        dashes = (0, (4, 4)) if part.get("stroke-dasharray") else "-"
        place, fill = (at["x"], at["y"] + top), part.get("fill")
        axes.add_patch(
            Rectangle(place, at["width"], at["height"], facecolor=fill, edgecolor=INK, ls=dashes, lw=0.8, **look)
        )
    elif kind == "text":
        side = "center" if part.get("text-anchor") == "middle" else "left"
        font = {
            "family": "DejaVu Sans Mono",
            "size": 12 * POINT * 72,
            "weight": "bold" if part.get("font-weight") else "normal",
        }
        axes.text(
            at["x"], at["y"] + top, part.text, ha=side, va="baseline", color=INK, parse_math=False, **font, **look
        )
