"""What was found, for a terminal."""

from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.circuit import Gate
from qweft.circuit.counts import Counts
from qweft.circuit.drawing import circuit_text
from qweft.look.run import Look

KINDS = {
    "quantum": "the circuit",
    "frozen": "a twin: the circuit with its random angles, which were not trained",
    "product": "a twin: the circuit without its CRZ gates",
}


def describe(found: Look, width: int) -> Group:
    """Drawing, counts, angles, and what tokens give, in so many columns of text."""
    circuit = found.found.circuit
    lines: list[Any] = [
        Text(f"{found.found.layer}: {KINDS[found.found.kind]}, {circuit.qubits} qubits; {len(found.layers)} layers"),
        Text(circuit_text(circuit, width)),
        _counts(found),
        _angles(found),
    ]
    if found.measured is not None:
        lines.append(_tokens(found))
    lines += [Text(f"written: {file}") for file in found.written]
    return Group(*lines)


def _table(title: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE, title=title, title_justify="left", title_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _counts(found: Look) -> Group:
    compiled = found.compiled
    table = _table("size", "", "as written", *([f"on {compiled.chip}"] if compiled else []))
    sizes = [found.counts, *([compiled.counts] if compiled else [])]
    for name in ("gates", "two_qubit", "depth", "two_qubit_depth"):
        table.add_row(name.replace("_", "-"), *(str(getattr(size, name)) for size in sizes))
    table.add_row("by name", *map(_names, sizes))
    said = []
    if compiled:
        said = [
            f"{compiled.chip}: {compiled.note}.",
            f"Compiled by Qiskit, optimisation level {compiled.optimization_level}, seed {compiled.seed}; qubits "
            f"0, 1, ... start on the chip's {', '.join(map(str, compiled.layout))}.",
        ]
    return Group(table, *map(Text, said))


def _names(size: Counts) -> str:
    return ", ".join(f"{number} {name}" for name, number in size.by_name.items())


def _angles(found: Look) -> Table:
    """Trained angles: a row for each run of gates of one kind, a column for each qubit (of a CRZ, its control)."""
    circuit = found.found.circuit
    title = "angles in radians" + (" (not trained)" if found.found.kind == "frozen" else "")
    table = _table(title, "gates", *(f"q{i}" for i in range(circuit.qubits)))
    rows: list[tuple[str, dict[int, str]]] = []
    dead = set(circuit.dead_parameters())
    for gate in circuit.gates:
        name = _step(gate, circuit.qubits)
        if gate.source == "input":
            rows.append(("", {}))  # an upload stands between: the next row is another step
            continue
        if not rows or rows[-1][0] != name or gate.wires[0] in rows[-1][1]:
            rows.append((name, {}))
        value = f"{float(found.found.angles[gate.index]):+.4f}"
        rows[-1][1][gate.wires[0]] = f"{value} (dead)" if gate.index in dead else value
    for number, (name, cells) in enumerate((row for row in rows if row[1]), 1):
        table.add_row(f"{number}. {name}", *(cells.get(wire, "") for wire in range(circuit.qubits)))
    return table


def _step(gate: Gate, qubits: int) -> str:
    """RY, or CRZ with how far its target is."""
    if gate.name == "ry":
        return "RY"
    hop = (gate.wires[-1] - gate.wires[0]) % qubits
    return f"CRZ to q+{hop}" if hop <= qubits / 2 else f"CRZ to q-{qubits - hop}"


def _tokens(found: Look) -> Table:
    measured, n = found.measured, found.found.circuit.qubits
    assert measured is not None
    table = _table("tokens", "token", *(f"c{i}" for i in range(n)), *(f"z{i}" for i in range(n)))
    for number, token in enumerate(measured.tokens):
        cells = [*measured.inputs[number].tolist(), *measured.values[number].tolist()]
        table.add_row(Text(f"{number} {token!r}"), *(f"{cell:+.4f}" for cell in cells))
    return table
