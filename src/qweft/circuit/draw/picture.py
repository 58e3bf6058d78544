"""A circuit as a picture in SVG, PNG or PDF, drawn with matplotlib."""

import io
from base64 import b64encode
from typing import Any

from qweft.circuit.description import Circuit
from qweft.circuit.draw.drawing import endings, label, lines
from qweft.circuit.gates import GATES

ROW, GAP, TOP = 44, 14, 38
"""Height of a wire's row, space between columns, space for a heading above the wires of a line."""
MARGIN, LEFT, RIGHT = 10, 44, 42
"""Space at the edges, before the gates (the names of the wires), and after them (⟨Z⟩)."""
CHARACTER = 7.4
"""Width of a character in the fixed-width font of 12 units."""
INK, INPUT = "#222324", "#D6E8F5"
"""Colours of lines and text, and of boxes fed by a token's data."""
POINT = 0.75
"""Points per unit: a unit is a pixel of a page."""
WIDTH = 1200
"""Width in units up to which a file's lines of gates go."""
KINDS = ("svg", "png", "pdf")
DATES = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""What is left out of files by kind: equal circuits give equal files."""


def circuit_picture(circuit: Circuit, kind: str, width: float = WIDTH) -> bytes:
    """Return the content of a picture file of a circuit, of one of `KINDS`; only headings may make it wider."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # pictures are the same everywhere
        matplotlib.rc("svg", hashsalt="circuit")
        metadata: Any = DATES.get(kind)
        circuit_figure(circuit, width).savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()


def circuit_uri(circuit: Circuit, width: float = WIDTH) -> str:
    """Return the picture as the address of an image in a page."""
    return f"data:image/svg+xml;base64,{b64encode(circuit_picture(circuit, 'svg', width)).decode()}"


def circuit_figure(circuit: Circuit, width: float) -> Any:
    """Return the circuit as a figure of matplotlib, in whose axes y grows downwards."""
    from matplotlib.figure import Figure

    step = CHARACTER * max((len(label(gate)) for gate in circuit.gates), default=1) + 10 + GAP
    room = max(RIGHT, MARGIN + CHARACTER * max(map(len, endings(circuit))))
    cut = lines(circuit, lambda column: step, width - LEFT - room)
    width = LEFT + max(max(step * len(each[1]) + room, CHARACTER * len(each[0]) + MARGIN) for each in cut)
    height = len(cut) * (TOP + ROW * circuit.qubits)
    figure = Figure(figsize=(width * POINT / 72, height * POINT / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    font: dict[str, Any] = {"family": "DejaVu Sans Mono", "size": 12 * POINT, "color": INK, "va": "center"}
    for number, (heading, columns, ends) in enumerate(cut):
        top = number * (TOP + ROW * circuit.qubits) + TOP
        axes.text(LEFT, top - TOP / 2, heading, weight="bold", **font)
        heights = [top + ROW * (wire + 0.5) - 5 for wire in range(circuit.qubits)]
        right = LEFT + step * len(columns)
        for wire, (y, end) in enumerate(zip(heights, ends, strict=True)):
            axes.plot((LEFT - 4, right), (y, y), color=INK, lw=0.8, alpha=0.55)
            axes.text(MARGIN, y, f"q{wire}", **font)
            axes.text(right + 6, y, end, **font)
        for place, column in enumerate(columns):
            middle = LEFT + step * (place + 0.5)
            for gate in column:
                on, controls = [heights[wire] for wire in gate.wires], GATES[gate.name].controls
                axes.plot((middle, middle), (min(on), max(on)), color=INK, lw=0.8)
                axes.plot([middle] * controls, on[:controls], "o", color=INK, ms=6)
                box = {"boxstyle": "round,pad=0.4", "fc": INPUT if gate.source == "input" else "white", "ec": INK}
                for y in on[controls:]:
                    axes.text(middle, y, label(gate), ha="center", bbox=box, **font)
    return figure
