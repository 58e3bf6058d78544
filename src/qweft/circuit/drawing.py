"""Drawings of a circuit: text for a terminal, and SVG for a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.gates import GATES
from qweft.text import many

Column = list[Gate]
"""Gates that are drawn below each other."""


@dataclass(frozen=True)
class Part:
    """Gates that act once, or several times in a row.

    Args:
        gates: The gates of the first time.
        times: Number of times.
        stride: Increase of each trained angle's index from one time to the next.
    """

    gates: tuple[Gate, ...]
    times: int = 1
    stride: int = 0

    @property
    def heading(self) -> str:
        """The repetition in words; empty if the gates act once."""
        if self.times == 1:
            return ""
        grown = "angle" if self.stride == 1 else many(self.stride, "angle")
        angles = f", each time with the next {grown} t" if self.stride else ", always with the same angles"
        return f"{self.times} times{angles if any(g.source == 'parameter' for g in self.gates) else ''}"


@dataclass(frozen=True)
class Frame:
    """Columns of a line that act several times.

    Args:
        heading: The repetition in words.
        first: Index of the first of them in the line.
        columns: Number of columns.
    """

    heading: str
    first: int
    columns: int


@dataclass(frozen=True)
class Line:
    """Columns next to each other, with frames around those that repeat."""

    columns: tuple[Column, ...]
    frames: tuple[Frame, ...] = ()


def lines(circuit: Circuit, longest: int) -> tuple[Line, ...]:
    """Return the circuit cut into lines of at most `longest` columns, at least one line."""
    placed = [(part, column) for part in parts(circuit) for column in columns(part.gates, circuit.qubits)]
    found = []
    for start in range(0, max(1, len(placed)), longest):
        here = placed[start : start + longest]
        frames = []
        for part in dict.fromkeys(part for part, _ in here if part.times > 1):
            places = [place for place, (other, _) in enumerate(here) if other is part]
            goes_on = any(other is part for other, _ in placed[:start])
            frames.append(Frame(part.heading + (" (continued)" if goes_on else ""), places[0], len(places)))
        found.append(Line(tuple(column for _, column in here), tuple(frames)))
    return tuple(found)


def parts(circuit: Circuit) -> tuple[Part, ...]:
    """Split the circuit into what acts once at its beginning (an upload of the input) and a layer that repeats.

    The repetitions are equal except for the indices of trained angles, which all grow by the same amount.
    """
    gates = circuit.gates
    leading = next((i for i, gate in enumerate(gates) if gate.source != "input"), len(gates))
    for head in (0, leading):
        body = _repeated(gates[head:])
        if body is not None:
            return (*([Part(gates[:head])] if head else []), body)
    return (Part(gates),)


def columns(gates: Sequence[Gate], qubits: int) -> list[Column]:
    """Return the gates in columns, each as far left as the gates before it on its wires allow.

    A gate on two wires also takes the wires between them, so that nothing is drawn across it.
    """
    free = [0] * qubits  # the first free column on each wire
    found: list[Column] = []
    for gate in gates:
        wires = range(min(gate.wires), max(gate.wires) + 1)
        column = max(free[wire] for wire in wires)
        if column == len(found):
            found.append([])
        found[column].append(gate)
        for wire in wires:
            free[wire] = column + 1
    return found


def angle(gate: Gate) -> str:
    """Return the gate's angle as text: c0 is an entry of the input, t0 a trained angle, 2*c0 a multiple."""
    if gate.source == "constant":
        return f"{gate.scale:.4g}"
    factor = "" if gate.scale == 1 else "-" if gate.scale == -1 else f"{gate.scale:.4g}*"
    return f"{factor}{'c' if gate.source == 'input' else 't'}{gate.index}"


def label(gate: Gate) -> str:
    """Return the text in the gate's boxes; a CRZ is an RZ with a control dot."""
    kind = GATES[gate.name]
    return f"{kind.box}({angle(gate)})" if kind.has_angle else kind.box


def endings(circuit: Circuit) -> list[str]:
    """Return what is measured, at the end of each wire: ⟨Z⟩, ⟨X0 Y2⟩ on the first of its wires, or p."""
    if circuit.observables is None:
        return ["p"] * circuit.qubits
    found: list[list[str]] = [[] for _ in range(circuit.qubits)]
    for letters in circuit.observables:
        factors = [(wire, letter) for wire, letter in enumerate(letters) if letter != "I"]
        text = factors[0][1] if len(factors) == 1 else " ".join(f"{letter}{wire}" for wire, letter in factors)
        found[factors[0][0]].append(f"⟨{text}⟩")
    return [", ".join(each) for each in found]


def controls_and_targets(gate: Gate) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the wires that get a dot, and those that get a box."""
    controls = GATES[gate.name].controls
    return gate.wires[:controls], gate.wires[controls:]


def span(heights: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the line between a gate's dots and boxes; it goes up if the last wire is above the first."""
    ends = min(heights), max(heights)
    return ends if heights[0] <= heights[-1] else ends[::-1]


def _repeated(gates: tuple[Gate, ...]) -> Part | None:
    """Return the shortest layer that these gates repeat, or `None` if they do not repeat."""
    for times in range(len(gates), 1, -1):
        if len(gates) % times:
            continue
        length = len(gates) // times
        steps = {_step(a, b) for a, b in zip(gates, gates[length:], strict=False)} - {None}
        if len(steps) <= 1 and -1 not in steps:
            return Part(gates[:length], times, next(iter(steps), None) or 0)
    return None


def _step(first: Gate, later: Gate) -> int | None:
    """Return the increase of the trained angle's index; `None` for equal gates on an input, -1 for different gates."""
    if any(getattr(first, name) != getattr(later, name) for name in ("name", "wires", "source", "scale")):
        return -1
    if first.source != "parameter":
        return None if first.index == later.index else -1
    return max(later.index - first.index, -1)


ROW, BOX, GAP, TOP = 44, 28, 14, 30
"""SVG: height of a wire's row, height of a box, space between columns, space above the first wire for a heading."""

MARGIN, LEFT, RIGHT = 10, 44, 42
"""SVG: space at the edges, before the gates (the names of the wires), and after them (⟨Z⟩)."""

CHARACTER = 7.4
"""SVG: width of a character of a label in the fixed-width font of 12 units."""


def circuit_text(circuit: Circuit, width: int = 100) -> str:
    """Return the circuit in box-drawing characters.

        q0 ─┤RY(c0)├────●──────┤RZ(t1)├─ ⟨Z⟩
                        │         │
        q1 ─┤RY(c1)├─┤RZ(t0)├─────●───── ⟨Z⟩

    Args:
        circuit: Any circuit.
        width: Characters in a line; a longer circuit continues below. A line has at least one column of gates.

    Returns:
        Lines without trailing spaces, joined by newlines.
    """
    blocks = []
    found = parts(circuit)
    for number, part in enumerate(found):
        last = number == len(found) - 1
        left = width - len(f"q{circuit.qubits - 1} ─ ") - max(map(len, endings(circuit)))
        pieces = _wrapped(columns(part.gates, circuit.qubits), left)
        if part.heading:
            blocks.append(f"{part.heading}:")
        for i, piece in enumerate(pieces):
            ends = endings(circuit) if last and i == len(pieces) - 1 else ["⋯"] * circuit.qubits
            blocks.append("\n".join(_text_rows(piece, circuit.qubits, ends)))
    return "\n\n".join(blocks)


def circuit_svg(circuit: Circuit, name: str, longest: int = 12) -> str:
    """Return the circuit as a self-contained <svg> element in the colour of the surrounding text.

    Args:
        circuit: Any circuit.
        name: Prefix of the ids of its title and description; unique on the page.
        longest: Largest number of columns in a line; a longer circuit continues below.
    """
    found = lines(circuit, longest)
    box = _box(circuit)
    height = TOP + ROW * circuit.qubits + 8
    ends = endings(circuit)
    room = max(RIGHT, MARGIN + CHARACTER * max(map(len, ends)))
    wide = max(_width(line, box + GAP, room) for line in found)
    drawn = [
        f'<g transform="translate(0 {number * height})">'
        + _svg_line(line, box, ends if number == len(found) - 1 else ["…"] * circuit.qubits)
        + "</g>"
        for number, line in enumerate(found)
    ]
    total = height * len(found)
    size = (circuit.qubits, "qubit"), (len(circuit.gates), "gate"), (circuit.parameters, "trained angle")
    title = "Circuit of {}, {} and {}".format(*(many(count, thing) for count, thing in size))
    return (
        f'<svg class="circuit" viewBox="0 0 {wide:.0f} {total}" width="{wide:.0f}" height="{total}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" font-size="12">'
        f'<title id="{name}-title">{title}</title><desc id="{name}-desc">{escape(in_words(circuit))}</desc>'
        f"{''.join(drawn)}</svg>"
    )


def fitting(circuit: Circuit, width: float) -> int:
    """Return the number of columns of gates that fit into a width of the SVG, at least 1; headings may be wider."""
    return max(1, int((width - LEFT - RIGHT) // (_box(circuit) + GAP)))


def in_words(circuit: Circuit) -> str:
    """Return the circuit in one or two sentences, gate by gate for one layer."""
    said = []
    for part in parts(circuit):
        names = "; ".join(map(_gate_in_words, part.gates))
        said.append(f"{part.heading[:1].upper()}{part.heading[1:]}: {names}." if part.heading else f"{names}.")
    products = ", ".join(circuit.measured) if isinstance(circuit.measured, tuple) else ""
    last = {"Z": "Z is measured on each qubit", "probabilities": "the probabilities of all basis states are measured"}
    return " ".join(said) + f" Then {last.get(str(circuit.measured)) or f'{products} are measured'}."


def _gate_in_words(gate: Gate) -> str:
    """Return "RZ by t0 on qubit 0 controlling qubit 1"."""
    roles = (" and ".join(f"qubit {wire}" for wire in wires) for wires in controls_and_targets(gate))
    by = f" by {angle(gate)}" if GATES[gate.name].has_angle else ""
    return f"{gate.name.upper()}{by} on {' controlling '.join(role for role in roles if role)}"


def _wrapped(found: list[Column], width: int) -> list[list[Column]]:
    """Cut columns into pieces that fit into a width of text, at least one column each."""
    pieces: list[list[Column]] = [[]]
    used = 0
    for column in found:
        needs = _cell(column) + 1
        if pieces[-1] and used + needs > width:
            pieces.append([])
            used = 0
        pieces[-1].append(column)
        used += needs
    return pieces


def _cell(column: Sequence[Gate]) -> int:
    """Return the width of a column in characters."""
    return max(len(label(gate)) for gate in column) + 2


def _text_rows(found: list[Column], qubits: int, ends: Sequence[str]) -> list[str]:
    """Return one piece as lines: one for each wire, and one between two wires for their links."""
    margin = len(f"q{qubits - 1}")
    rows = [f"{f'q{wire}':<{margin}} ─" for wire in range(qubits)]
    gaps = [" " * (margin + 2) for _ in range(qubits)]
    for column in found:
        size = _cell(column)
        cells, links = ["─" * size] * qubits, [" " * size] * qubits
        for gate in column:
            low, high = min(gate.wires), max(gate.wires)
            controls, targets = controls_and_targets(gate)
            for wire in range(low, high + 1):
                text = "●" if wire in controls else f"┤{label(gate)}├" if wire in targets else "┼"
                cells[wire] = _centred(text, size, "─")
                if wire < high:
                    links[wire] = _centred("│", size, " ")
        for wire in range(qubits):
            rows[wire] += cells[wire] + "─"
            gaps[wire] += links[wire] + " "
    lines = []
    for wire in range(qubits):
        lines.append(f"{rows[wire]} {ends[wire]}".rstrip())
        if wire < qubits - 1:
            lines.append(gaps[wire].rstrip())
    return lines


def _centred(text: str, size: int, fill: str) -> str:
    """Return the text padded evenly, or with one less on the left; a link falls into the middle of a box."""
    left = (size - 1) // 2 - (len(text) - 1) // 2
    return fill * left + text + fill * (size - left - len(text))


def _box(circuit: Circuit) -> float:
    """SVG: width of a box, that of the longest label."""
    return CHARACTER * max((len(label(gate)) for gate in circuit.gates), default=1) + 10


def _width(line: Line, pitch: float, room: float) -> float:
    """Return the width of a line from edge to edge: its gates, or a heading that is longer than its frame."""
    headings = (LEFT + pitch * frame.first + 4 + CHARACTER * len(frame.heading) + MARGIN for frame in line.frames)
    return max((LEFT + pitch * len(line.columns) + room, *headings))


def _svg_line(line: Line, box: float, ends: Sequence[str]) -> str:
    """Return one line of columns with its wires, and a frame around those that repeat."""
    pitch = box + GAP
    right = LEFT + pitch * len(line.columns)
    drawn = []
    for wire, end in enumerate(ends):
        y = _height(wire)
        drawn.append(f'<path d="M{LEFT - 4} {y}H{right:.0f}" stroke="currentColor" opacity=".55"/>')
        drawn.append(f'<text class="wire" x="{MARGIN}" y="{y + 4}" fill="currentColor">q{wire}</text>')
        drawn.append(f'<text x="{right + 6:.0f}" y="{y + 4}" fill="currentColor">{end}</text>')
    drawn += [_svg_frame(frame, LEFT + pitch * frame.first, pitch * frame.columns, len(ends)) for frame in line.frames]
    for number, column in enumerate(line.columns):
        drawn += [_svg_gate(gate, LEFT + pitch * (number + 0.5), box) for gate in column]
    return "".join(drawn)


def _svg_frame(frame: Frame, left: float, width: float, qubits: int) -> str:
    """Return a dashed frame around the columns that repeat."""
    return (
        f'<rect x="{left + 2:.0f}" y="{TOP - 8}" width="{width - 4:.0f}" height="{ROW * qubits + 6}" rx="6" '
        f'fill="none" stroke="currentColor" stroke-dasharray="4 4" opacity=".5"/>'
        f'<text class="times" x="{left + 4:.0f}" y="{TOP - 14}" fill="currentColor" font-weight="600">'
        f"{frame.heading}</text>"
    )


def _svg_gate(gate: Gate, middle: float, box: float) -> str:
    """Return a gate: a box on each target, a dot on each control, and the line between them."""
    controls, targets = (list(map(_height, wires)) for wires in controls_and_targets(gate))
    inside = f"<title>{label(gate)} on {' → '.join(f'q{wire}' for wire in gate.wires)}</title>"
    if len(gate.wires) > 1:
        first, last = span(controls + targets)
        inside += f'<path d="M{middle:.1f} {first}V{last}" stroke="currentColor"/>'
    for control in controls:
        inside += f'<circle cx="{middle:.1f}" cy="{control}" r="4.5" fill="currentColor"/>'
    for target in targets:
        inside += (
            f'<rect class="{gate.source}" x="{middle - box / 2:.1f}" y="{target - BOX / 2}" width="{box:.1f}" '
            f'height="{BOX}" rx="4" style="fill: var(--page, white)" stroke="currentColor" '
            f'stroke-width="{2 if gate.source == "input" else 1}"/>'
            f'<text x="{middle:.1f}" y="{target + 4}" text-anchor="middle" fill="currentColor">{label(gate)}</text>'
        )
    wires = " ".join(map(str, gate.wires))
    return f'<g class="gate" data-gate="{gate.name}" data-wires="{wires}">{inside}</g>'


def _height(wire: int) -> float:
    """Return the distance of a wire from the top of its line."""
    return TOP + ROW * wire + ROW / 2 - 5
