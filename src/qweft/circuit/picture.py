"""A circuit as a picture: SVG for a page, and files in SVG, PNG and PDF."""

import io
from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.drawing import endings, label, lines
from qweft.circuit.gates import GATES
from qweft.text import many

ROW, BOX, GAP, TOP = 44, 28, 14, 30
"""Height of a wire's row, height of a box, space between columns, space above the first wire for a heading."""
MARGIN, LEFT, RIGHT = 10, 44, 42
"""Space at the edges, before the gates (the names of the wires), and after them (⟨Z⟩)."""
CHARACTER = 7.4
"""Width of a character in the fixed-width font of 12 units."""
INK, INPUT = "#222324", "#D6E8F5"
"""Colours of lines and text in a file, and of boxes fed by a token's data."""
POINT = 0.75 / 72
"""Inches per unit."""
DPI = 200
LONGEST = 14
"""Largest number of columns of gates in a line of a file."""
KINDS = ("svg", "png", "pdf")


class Shape(NamedTuple):
    """A line from (x, y) over (width, height), a box, a dot, or a text that begins or has its middle at (x, y)."""

    kind: str
    x: float
    y: float
    width: float = 0
    height: float = 0
    text: str = ""
    look: str = ""  # of a line "faint", of a box its angle's source, of a text "middle" or "heading"


class Drawing:
    """The shapes of a circuit: of wires and headings, and of each gate. Lines have at most `longest` columns."""

    def __init__(self, circuit: Circuit, longest: int) -> None:
        self.width = self.height = 0.0
        self.shapes: list[tuple[Gate | None, list[Shape]]] = []
        self._box = _box(circuit)
        room = max(RIGHT, MARGIN + CHARACTER * max(map(len, endings(circuit))))
        for heading, columns, ends in lines(circuit, lambda column: 1, longest):
            right = LEFT + (self._box + GAP) * len(columns)
            self.width = max(self.width, right + room, LEFT + CHARACTER * len(heading) + MARGIN)
            frame = [Shape("text", LEFT, self.height + TOP - 14, text=heading, look="heading")] if heading else []
            for wire, end in enumerate(ends):
                y = self._middle(wire)
                frame.append(Shape("line", LEFT - 4, y, right - LEFT + 4, look="faint"))
                frame.append(Shape("text", MARGIN, y + 4, text=f"q{wire}"))
                frame.append(Shape("text", right + 6, y + 4, text=end))
            self.shapes.append((None, frame))
            for number, column in enumerate(columns):
                middle = LEFT + (self._box + GAP) * (number + 0.5)
                self.shapes += [(gate, list(self._gate(gate, middle))) for gate in column]
            self.height += TOP + ROW * circuit.qubits + 8

    def _middle(self, wire: int) -> float:
        return self.height + TOP + ROW * wire + ROW / 2 - 5

    def _gate(self, gate: Gate, middle: float) -> Iterator[Shape]:
        """Yield the line between a gate's wires, a dot on each control, and a box on each target."""
        heights = [self._middle(wire) for wire in gate.wires]
        if len(heights) > 1:
            yield Shape("line", middle, min(heights), 0, max(heights) - min(heights))
        for place, y in enumerate(heights):
            if place < GATES[gate.name].controls:
                yield Shape("dot", middle, y)
            else:
                yield Shape("box", middle - self._box / 2, y - BOX / 2, self._box, BOX, look=gate.source)
                yield Shape("text", middle, y + 4, text=label(gate), look="middle")


def circuit_svg(circuit: Circuit, longest: int = 12) -> str:
    """Return the circuit as an <svg>, in lines of `longest` columns; boxes of class input, parameter or constant."""
    drawing, groups = Drawing(circuit, longest), []
    for gate, shapes in drawing.shapes:
        inside = "".join(_svg_shape(shape) for shape in shapes)
        if gate is not None:
            wires = " ".join(map(str, gate.wires))
            title = f"<title>{label(gate)} on {' → '.join(f'q{wire}' for wire in gate.wires)}</title>"
            inside = f'<g class="gate" data-gate="{gate.name}" data-wires="{wires}">{title}{inside}</g>'
        groups.append(inside)
    sizes = (circuit.qubits, "qubit"), (len(circuit.gates), "gate"), (circuit.parameters, "trained angle")
    name = "Circuit of {}, {} and {}".format(*(many(*size) for size in sizes))
    size = f"{drawing.width:.0f}", f"{drawing.height:.0f}"
    return (
        f'<svg class="circuit" viewBox="0 0 {" ".join(size)}" width="{size[0]}" height="{size[1]}" role="img" '
        f'aria-label="{name}" font-size="12">{"".join(groups)}</svg>'
    )


def fitting(circuit: Circuit, width: float) -> int:
    """Return the number of columns of gates that fit into a width of the SVG, at least 1; headings may be wider."""
    return max(1, int((width - LEFT - RIGHT) // (_box(circuit) + GAP)))


def circuit_picture(circuit: Circuit, kind: str) -> bytes:
    """Return the content of a picture file of a circuit, of one of `KINDS`; equal circuits give equal files."""
    if kind == "svg":
        begin = '<svg xmlns="http://www.w3.org/2000/svg" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" '
        text = circuit_svg(circuit, LONGEST).replace("currentColor", INK).replace("<svg ", begin, 1)
        return text.replace(">", '><rect width="100%" height="100%" fill="white"/>', 1).encode() + b"\n"
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    dates: Any = {"CreationDate": None} if kind == "pdf" else None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # pictures are the same everywhere
        figure = _figure(Drawing(circuit, LONGEST))
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, dpi=DPI, facecolor="white", metadata=dates)
    return buffer.getvalue()


def _box(circuit: Circuit) -> float:
    """Return the width of a box, that of the longest label."""
    return CHARACTER * max((len(label(gate)) for gate in circuit.gates), default=1) + 10


def _svg_shape(shape: Shape) -> str:
    at = f'x="{shape.x:.1f}" y="{shape.y:g}"'
    if shape.kind == "line":
        faint = ' opacity=".55"' if shape.look == "faint" else ""
        way = f"M{shape.x:.1f} {shape.y:g}l{shape.width:.1f} {shape.height:g}"
        return f'<path d="{way}" stroke="currentColor"{faint}/>'
    if shape.kind == "dot":
        return f'<circle cx="{shape.x:.1f}" cy="{shape.y:g}" r="4.5" fill="currentColor"/>'
    if shape.kind == "box":
        is_input = shape.look == "input"
        return (
            f'<rect class="{shape.look}" {at} width="{shape.width:.1f}" height="{shape.height}" rx="4" '
            f'fill="{INPUT if is_input else "white"}" stroke="currentColor" stroke-width="{2 if is_input else 1}"/>'
        )
    look = {"middle": ' text-anchor="middle"', "heading": ' class="times" font-weight="600"'}.get(shape.look, "")
    return f'<text {at} fill="currentColor"{look}>{escape(shape.text)}</text>'


def _figure(drawing: Drawing) -> Any:
    """Return a drawing as a figure of matplotlib, in whose axes y grows downwards."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, Rectangle

    figure = Figure(figsize=(drawing.width * POINT, drawing.height * POINT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
    axes.axis("off")
    for order, shape in enumerate(shape for _, shapes in drawing.shapes for shape in shapes):
        at, look = (shape.x, shape.y), shape.look
        if shape.kind == "line":
            ends = (shape.x, shape.x + shape.width), (shape.y, shape.y + shape.height)
            axes.plot(*ends, color=INK, lw=0.8, alpha=0.55 if look == "faint" else 1, zorder=order)
        elif shape.kind == "dot":
            axes.add_patch(Circle(at, 4.5, facecolor=INK, zorder=order))
        elif shape.kind == "box":
            fill = INPUT if look == "input" else "white"
            box = Rectangle(at, shape.width, shape.height, facecolor=fill, edgecolor=INK, lw=0.8, zorder=order)
            axes.add_patch(box)
        else:
            side, weight = "center" if look == "middle" else "left", "bold" if look == "heading" else "normal"
            font: dict[str, Any] = {"family": "DejaVu Sans Mono", "size": 12 * POINT * 72, "weight": weight}
            axes.text(*at, shape.text, ha=side, color=INK, parse_math=False, zorder=order, **font)
    return figure
