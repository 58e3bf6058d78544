"""A circuit as a picture file: stand-alone SVG, or PNG and PDF by matplotlib."""

import io
from typing import Any

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.drawing import Frame, Line, circuit_svg, controls_and_targets, label, lines, span

INK, INPUT, TRAINED = "#222324", "#D6E8F5", "#FFFFFF"
"""Colours of lines and text, of boxes fed by a token's data, and of boxes fed by trained angles."""
COLUMN, ROW, BOX = 0.82, 0.46, 0.30
"""Inches: width of a column of gates, height of a wire's row, height of a box."""
LEFT, RIGHT, TOP, BOTTOM, EDGE = 0.65, 0.5, 0.5, 0.15, 0.15
"""Inches around the gates of a line: names of wires, ⟨Z⟩, heading, space below; after a heading."""
CHARACTER = 0.09
"""Inches per character of a heading."""
SIZE = 9.0
"""Font size of a label, in points."""
DPI = 200
LONGEST = 14
"""Largest number of columns of gates in a line; a longer circuit continues below."""
KINDS = ("svg", "png", "pdf")


def circuit_picture(circuit: Circuit, kind: str) -> bytes:
    """Return the content of a picture file; equal layers are drawn once.

    Args:
        circuit: Any circuit.
        kind: One of `KINDS`.
    """
    if kind == "svg":
        return _svg_file(circuit).encode()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    dates: Any = {"CreationDate": None} if kind == "pdf" else None  # the same circuit gives the same file
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # pictures are the same everywhere
        figure = _drawn(circuit)
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, dpi=DPI, facecolor="white", metadata=dates)
    return buffer.getvalue()


def _svg_file(circuit: Circuit) -> str:
    """Return the SVG as a file: on white, with its own font and colours, without CSS that only browsers know."""
    text = circuit_svg(circuit, "circuit", LONGEST)
    start = '<svg xmlns="http://www.w3.org/2000/svg" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" '
    text = text.replace("<svg ", start, 1).replace("currentColor", INK)
    text = text.replace('style="fill: var(--page, white)"', 'fill="white"')
    end = text.index("</desc>") + len("</desc>")
    return f'{text[:end]}<rect width="100%" height="100%" fill="white"/>{text[end:]}\n'


def _drawn(circuit: Circuit) -> Any:
    """Return the figure, in whose axes a unit is an inch and y grows downwards."""
    from matplotlib.figure import Figure

    found = lines(circuit, LONGEST)
    height = TOP + ROW * circuit.qubits + BOTTOM
    width = max(_width(line) for line in found)
    figure = Figure(figsize=(width, height * len(found)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height * len(found), 0))
    axes.axis("off")
    for number, line in enumerate(found):
        _line(axes, line, circuit.qubits, number * height + TOP, ends=number == len(found) - 1)
    return figure


def _width(line: Line) -> float:
    """Return the width of a line from edge to edge: its gates, or a heading that is longer than its frame."""
    headings = (LEFT + COLUMN * frame.first + CHARACTER * len(frame.heading) + EDGE for frame in line.frames)
    return max((LEFT + COLUMN * max(1, len(line.columns)) + RIGHT, *headings))


def _line(axes: Any, line: Line, qubits: int, top: float, ends: bool) -> None:
    """Draw one line of columns, with its wires and the frames around what repeats."""
    right = LEFT + COLUMN * len(line.columns)
    for wire in range(qubits):
        y = _height(wire, top)
        axes.plot((LEFT - 0.08, right + 0.04), (y, y), color=INK, linewidth=0.8, alpha=0.6, zorder=1)
        axes.text(LEFT - 0.14, y, f"$q_{{{wire}}}$", ha="right", va="center", color=INK, fontsize=SIZE + 1)
        end = r"$\langle Z \rangle$" if ends else "…"
        axes.text(right + 0.1, y, end, ha="left", va="center", color=INK, fontsize=SIZE + 1)
    for frame in line.frames:
        _frame(axes, frame, LEFT + COLUMN * frame.first, COLUMN * frame.columns, top, ROW * qubits)
    for place, column in enumerate(line.columns):
        for gate in column:
            _gate(axes, gate, LEFT + COLUMN * (place + 0.5), top)


def _frame(axes: Any, frame: Frame, left: float, width: float, top: float, height: float) -> None:
    """Draw a dashed frame around the columns that repeat, with the number of repetitions."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (left + 0.02, top - 0.02), width - 0.04, height + 0.04,
            fill=False, edgecolor=INK, linewidth=0.8, linestyle=(0, (4, 4)), alpha=0.6, zorder=1,
        )
    )  # fmt: skip
    text = {"ha": "left", "va": "bottom", "color": INK, "fontsize": SIZE + 1, "weight": "bold"}
    axes.text(left + 0.04, top - 0.1, frame.heading, **text)


def _gate(axes: Any, gate: Gate, middle: float, top: float) -> None:
    """Draw a gate: a box on each target, a dot on each control, and the line between them."""
    from matplotlib.patches import Rectangle

    controls, targets = ([_height(wire, top) for wire in wires] for wires in controls_and_targets(gate))
    if len(gate.wires) > 1:
        axes.plot((middle, middle), span(controls + targets), color=INK, linewidth=1.1, zorder=2)
    for control in controls:
        axes.plot((middle,), (control,), "o", color=INK, markersize=5.5, markeredgewidth=0, zorder=3)
    width = COLUMN - 0.12
    for target in targets:
        axes.add_patch(
            Rectangle(
                (middle - width / 2, target - BOX / 2), width, BOX,
                facecolor=INPUT if gate.source == "input" else TRAINED, edgecolor=INK, linewidth=0.9, zorder=4,
            )
        )  # fmt: skip
        axes.text(middle, target, label(gate), ha="center", va="center", color=INK, fontsize=SIZE, zorder=5)


def _height(wire: int, top: float) -> float:
    """Return the distance of a wire from the top of the figure."""
    return top + ROW * (wire + 0.5)
