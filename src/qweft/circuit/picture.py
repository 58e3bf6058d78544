"""A circuit drawn into a file: SVG, PNG or PDF."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.diagram import columns, label, parts
from qweft.errors import QweftError

KINDS = (".svg", ".png", ".pdf")
LONGEST = 12
"""Columns of gates in a line; a longer circuit goes on below."""
BOX = 0.76
"""Width and height of a gate's box, where columns and wires are 1 apart."""


def check_picture(file: str | Path) -> None:
    """See that the name ends as a picture that can be drawn.

    Raises:
        QweftError: If it does not.
    """
    if Path(file).suffix.lower() not in KINDS:
        raise QweftError(f"picture {file}: the name must end in one of {', '.join(KINDS)}")


def save_picture(circuit: Circuit, file: str | Path) -> None:
    """Draw a circuit, layers that are equal once, into a file whose name's end tells its kind.

    Args:
        circuit: Any circuit.
        file: Ends in .svg, .png or .pdf; its folder is made where it does not exist.

    Raises:
        QweftError: If it ends otherwise.
    """
    check_picture(file)
    lines = []  # of (columns of gates, heading)
    for part in parts(circuit):
        found = columns(part.gates, circuit.qubits)
        for start in range(0, len(found), LONGEST):
            lines.append((found[start : start + LONGEST], part.heading if not start else ""))
    high, wide = circuit.qubits + 0.9, max((len(line) for line, _ in lines), default=0) + 2.0
    figure = Figure(figsize=(wide * 0.75, max(1, len(lines)) * high * 0.55))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.8, wide - 0.8), ylim=(-max(1, len(lines)) * high, 0))
    axes.axis("off")
    for number, (line, heading) in enumerate(lines or [([], "")]):
        top = -number * high
        axes.text(0.1, top - 0.35, heading, fontsize=9, weight="bold", va="center")
        ends = "⟨Z⟩" if number >= len(lines) - 1 else "…"
        for wire in range(circuit.qubits):
            y = _height(top, wire)
            axes.plot([0, len(line) + 0.2], [y, y], color="0.45", lw=0.9, zorder=1)
            axes.text(-0.15, y, f"q{wire}", fontsize=10, ha="right", va="center")
            axes.text(len(line) + 0.3, y, ends, fontsize=10, va="center")
        for column, gates in enumerate(line):
            for gate in gates:
                _draw(axes, gate, column + 0.55, top)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=160, facecolor="white")


def _height(top: float, wire: int) -> float:
    return top - 1.1 - wire


def _draw(axes, gate: Gate, x: float, top: float) -> None:  # type: ignore[no-untyped-def]
    """A box; for a controlled gate also a dot and the line between."""
    y = _height(top, gate.wires[-1])
    if len(gate.wires) > 1:
        control = _height(top, gate.wires[0])
        axes.plot([x, x], [control, y], color="black", lw=1, zorder=2)
        axes.plot([x], [control], marker="o", markersize=7, color="black", zorder=3)
    corner = (x - BOX / 2, y - BOX / 2 + 0.06)
    heavy = 1.8 if gate.source == "input" else 0.9
    box = FancyBboxPatch(corner, BOX, BOX - 0.12, boxstyle="round,pad=0,rounding_size=0.08", fc="white", lw=heavy)
    box.set_zorder(4)
    axes.add_patch(box)
    axes.text(x, y, label(gate), fontsize=7.5, ha="center", va="center", zorder=5)
