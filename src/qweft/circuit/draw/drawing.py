"""A circuit as columns of gates, and drawn as text for a terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.gates import GATES
from qweft.core.text import many

Column = list[Gate]
"""Gates that are drawn below each other."""


@dataclass(frozen=True)
class Part:
    """Gates that act once, or several times in a row, each time with trained angles `stride` further on."""

    gates: tuple[Gate, ...]
    times: int = 1
    stride: int = 0

    @property
    def heading(self) -> str:
        """The repetition in words; empty if the gates act once."""
        if self.times == 1:
            return ""
        grown = f", each time with the next {many(self.stride, 'angle')} t" if self.stride else ""
        return f"{self.times} times{grown}"

    @property
    def in_full(self) -> tuple[Gate, ...]:
        """All its gates, one time after the other."""
        return tuple(
            replace(gate, index=gate.index + number * self.stride) if gate.source == "parameter" else gate
            for number in range(self.times)
            for gate in self.gates
        )


def lines(
    circuit: Circuit, width_of: Callable[[Column], float], room: float
) -> list[tuple[str, list[Column], list[str]]]:
    """Return the lines of a drawing: a heading where a repetition begins, columns that have room, and wires' ends."""
    cut: list[tuple[str, list[Column]]] = []
    for part in parts(circuit):
        cut.append((part.heading, []))
        used = 0.0
        for column in columns(part.gates, circuit.qubits):
            if cut[-1][1] and used + width_of(column) > room:
                cut.append(("", []))
                used = 0
            cut[-1][1].append(column)
            used += width_of(column)
    goes_on = ["⋯"] * circuit.qubits
    return [(*each, endings(circuit) if each is cut[-1] else goes_on) for each in cut]


def parts(circuit: Circuit) -> tuple[Part, ...]:
    """Split the circuit into what acts once at its beginning and a repeated layer, trained indices growing evenly."""
    gates = circuit.gates
    leading = next((i for i, gate in enumerate(gates) if gate.source != "input"), len(gates))
    for head in (0, leading):
        body = gates[head:]
        trained = [gate.index for gate in body if gate.source == "parameter"]
        for times in range(len(body), 1, -1):
            if len(body) % times == 0:
                stride = trained[len(trained) // times] - trained[0] if trained else 0
                layer = Part(body[: len(body) // times], times, stride)
                if stride >= 0 and layer.in_full == body:
                    return (Part(gates[:head]), layer) if head else (layer,)
    return (Part(gates),)


def columns(gates: Sequence[Gate], qubits: int) -> list[Column]:
    """Return the gates in columns, each as far left as it can be; a gate also takes the wires between its own."""
    free = [0] * qubits  # the first free column on each wire
    made: list[Column] = []
    for gate in gates:
        wires = range(min(gate.wires), max(gate.wires) + 1)
        column = max(free[wire] for wire in wires)
        if column == len(made):
            made.append([])
        made[column].append(gate)
        for wire in wires:
            free[wire] = column + 1
    return made


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
    ends: list[list[str]] = [[] for _ in range(circuit.qubits)]
    for letters in circuit.observables:
        wires = [wire for wire, letter in enumerate(letters) if letter != "I"]
        text = " ".join(f"{letters[wire]}{wire}" for wire in wires) if len(wires) > 1 else letters[wires[0]]
        ends[wires[0]].append(f"⟨{text}⟩")
    return [", ".join(each) for each in ends]


def circuit_text(circuit: Circuit, width: int = 100) -> str:
    """Return the circuit in box-drawing characters, in lines of `width`, each with at least one column of gates.

    q0 ─┤RY(c0)├────●──────┤RZ(t1)├─ ⟨Z⟩
                    │         │
    q1 ─┤RY(c1)├─┤RZ(t0)├─────●───── ⟨Z⟩
    """
    room = width - len(f"q{circuit.qubits - 1} ─ ") - max(map(len, endings(circuit)))
    blocks = []
    for heading, here, ends in lines(circuit, lambda column: _cell(column) + 1, room):
        blocks += [f"{heading}:"] if heading else []
        blocks.append("\n".join(_rows(here, circuit.qubits, ends)))
    return "\n\n".join(blocks)


def _cell(column: Column) -> int:
    """Return the width of a column in characters."""
    return max(len(label(gate)) for gate in column) + 2


def _rows(here: list[Column], qubits: int, ends: Sequence[str]) -> list[str]:
    """Return one line of columns as text: a row for each wire, and one between two wires for their links."""
    margin = len(f"q{qubits - 1}")
    rows = [f"{f'q{wire}':<{margin}} ─" for wire in range(qubits)]
    gaps = [" " * (margin + 2) for _ in range(qubits)]
    for column in here:
        size = _cell(column)
        cells, links = ["─" * size] * qubits, [" " * size] * qubits
        for gate in column:
            controls = gate.wires[: GATES[gate.name].controls]
            for wire in range(min(gate.wires), max(gate.wires) + 1):
                box = f"┤{label(gate)}├" if wire in gate.wires else "┼"
                cells[wire] = ("●" if wire in controls else box).center(size, "─")
                if wire < max(gate.wires):
                    links[wire] = "│".center(size)
        for wire in range(qubits):
            rows[wire] += cells[wire] + "─"
            gaps[wire] += links[wire] + " "
    both = zip(rows, ends, gaps, strict=True)
    return [text for row, end, gap in both for text in (f"{row} {end}".rstrip(), gap.rstrip())][:-1]
