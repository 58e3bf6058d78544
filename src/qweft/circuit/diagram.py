"""Where the gates of a circuit stand in a drawing: equal layers once, gates in columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from qweft.circuit.description import Circuit, Gate
from qweft.circuit.gates import GATES
from qweft.plural import many

Column = list[Gate]
"""Gates that stand below each other."""


@dataclass(frozen=True)
class Part:
    """Gates that act once or several times in a row.

    Args:
        gates: Those of the first time.
        times: How often they act.
        stride: What is added to the number of each trained angle from one time to the next.
    """

    gates: tuple[Gate, ...]
    times: int = 1
    stride: int = 0

    @property
    def heading(self) -> str:
        """The repetition in words; empty where the gates act once."""
        if self.times == 1:
            return ""
        grown = "angle" if self.stride == 1 else many(self.stride, "angle")
        angles = f", each time with the next {grown} t" if self.stride else ", always with the same angles"
        return f"{self.times} times{angles if any(g.source == 'parameter' for g in self.gates) else ''}"


@dataclass(frozen=True)
class Frame:
    """Columns of a line that act several times.

    Args:
        heading: How often, in words.
        first: Place of the first of them in the line.
        columns: How many they are.
    """

    heading: str
    first: int
    columns: int


@dataclass(frozen=True)
class Line:
    """Columns beside each other, with the frames around those that repeat."""

    columns: tuple[Column, ...]
    frames: tuple[Frame, ...] = ()


def lines(circuit: Circuit, longest: int) -> tuple[Line, ...]:
    """The circuit cut into lines of a picture; one without gates is one line without columns.

    Args:
        circuit: Any circuit.
        longest: Columns of gates in a line; a longer circuit goes on in the next.
    """
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
    """The circuit as what acts once at its beginning (an upload of the input) and a layer that repeats.

    The gates of all times are equal but for the numbers of trained angles, which all grow by the same amount.

    Args:
        circuit: Any circuit; one without equal layers is one part.
    """
    gates = circuit.gates
    leading = next((i for i, gate in enumerate(gates) if gate.source != "input"), len(gates))
    for head in (0, leading):
        body = _repeated(gates[head:])
        if body is not None:
            return (*([Part(gates[:head])] if head else []), body)
    return (Part(gates),)


def columns(gates: Sequence[Gate], qubits: int) -> list[Column]:
    """The gates in columns, each as far to the left as those before it on its wires allow.

    A gate on two wires takes the wires between them too, so that nothing is drawn across it.

    Args:
        gates: In the order in which they act.
        qubits: Number of wires.
    """
    free = [0] * qubits  # the first column with room on each wire
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
    """What feeds the gate's angle: c0 is an entry of the input, t0 a trained angle."""
    return f"{'c' if gate.source == 'input' else 't'}{gate.index}"


def label(gate: Gate) -> str:
    """The text in the gate's boxes; a CRZ is an RZ with a control dot."""
    return f"{GATES[gate.name].box}({angle(gate)})"


def controls_and_targets(gate: Gate) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The wires that get a dot, and those that get a box."""
    controls = GATES[gate.name].controls
    return gate.wires[:controls], gate.wires[controls:]


def _repeated(gates: tuple[Gate, ...]) -> Part | None:
    """The shortest layer that these gates are repetitions of; none where they are not."""
    for times in range(len(gates), 1, -1):
        if len(gates) % times:
            continue
        length = len(gates) // times
        steps = {_step(a, b) for a, b in zip(gates, gates[length:], strict=False)} - {None}
        if len(steps) <= 1 and -1 not in steps:
            return Part(gates[:length], times, next(iter(steps), None) or 0)
    return None


def _step(first: Gate, later: Gate) -> int | None:
    """By how much the number of the trained angle grew; none for equal gates on an input, -1 for different gates."""
    if (first.name, first.wires, first.source) != (later.name, later.wires, later.source):
        return -1
    if first.source == "input":
        return None if first.index == later.index else -1
    return max(later.index - first.index, -1)
