"""Terminal output of a circuit: drawing, gate counts, angles, and values by token."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.circuit.description import counts, trained_steps
from qweft.circuit.drawing import circuit_text
from qweft.circuit_view.run import CircuitView
from qweft.method.names import formula
from qweft.text import many, some

CELL = 9
"""Width of a number in a table, in characters."""
LABELS = 26
"""Width of the label columns before the numbers, in characters."""
LONGEST_TOKEN = 14


def describe(view: CircuitView, width: int) -> Group:
    """Return drawing, sizes, angles and tokens for the terminal."""
    others = f"the first layer with a circuit; choose another with --layer: {some(view.others)}"
    return Group(
        Text(_title(view)),
        *([Text(others)] if view.others else []),
        Text(""),
        Text(circuit_text(view.saved.circuit, width), no_wrap=True, overflow="ignore"),
        Text(""),
        _sizes(view),
        *(Text(sentence) for sentence in _sentences(view)),
        *_angles(view, width),
        *(_tokens(view, width) if view.tokens else ()),
        *(Text(f"written: {file}") for file in view.files),
    )


def _title(view: CircuitView) -> str:
    saved, circuit = view.saved, view.saved.circuit
    if saved.is_trained:
        angles = many(circuit.parameters, "trained angle")
    else:
        angles = f"{many(circuit.parameters, 'angle')} drawn at random and not trained"
    dead = len(circuit.dead_parameters())
    return (
        f"{saved.layer}: {many(circuit.qubits, 'qubit')}, {many(saved.layers, 'layer')}, {angles}"
        + (f", {dead} of them dead (no output depends on {'it' if dead == 1 else 'them'})" if dead else "")
        + f"; core {saved.core}: {formula(saved.core)}"
    )


def _sizes(view: CircuitView) -> Table:
    """Return a table of gate counts before and, with a chip, after compilation."""
    sizes = {"as written": counts(view.saved.circuit)}
    if view.compilation is not None:
        sizes[f"on {view.compilation.chip}"] = view.compilation.counts
    rows: dict[str, list[Any]] = {
        "gates": [", ".join(f"{number} {name}" for name, number in size.gates.items()) for size in sizes.values()],
        "gates on two qubits": [size.two_qubit for size in sizes.values()],
        "gates on one qubit": [size.one_qubit for size in sizes.values()],
        "depth": [size.depth for size in sizes.values()],
        "depth in gates on two qubits": [size.two_qubit_depth for size in sizes.values()],
    }
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for name in sizes:
        table.add_column(name, justify="right")
    for name, values in rows.items():
        table.add_row(name, *map(str, values))
    return table


def _sentences(view: CircuitView) -> list[str]:
    """Return sentences on the chip, the compiler and the placement of qubits; empty without a compilation."""
    made = view.compilation
    if made is None:
        return []
    starts = ", ".join(map(str, made.start))
    moved = "" if made.start == made.end else f", measured on {', '.join(map(str, made.end))}"
    data = "inputs left open" if view.bound is None else f"the inputs of token {view.bound.place}"
    return [
        f"{made.chip}: {made.source}.",
        f"{made.compiler}; the angles as numbers, {data}.",
        f"Our qubits 0 to {len(made.start) - 1} start on the chip's {starts} of {made.chip_qubits}{moved}.",
    ]


def _angles(view: CircuitView, width: int) -> list[Any]:
    """Return tables of the angles by layer, gate and qubit."""
    saved, circuit = view.saved, view.saved.circuit
    dead = set(circuit.dead_parameters())
    rows = []
    for step in trained_steps(circuit, saved.layers):
        cells = [
            f"{saved.angles[step.gates[wire].index]:.4f}" + ("*" if step.gates[wire].index in dead else "")
            if wire in step.gates
            else ""
            for wire in range(circuit.qubits)
        ]
        rows.append(([str(step.layer), step.label(circuit.qubits)], cells))
    heads = [f"i = {wire}" for wire in range(circuit.qubits)]
    note = "; * dead" if dead else ""
    tables = _tables(f"Angles in radians, for each qubit i{note}", ["layer", "gate"], heads, rows, width)
    return [Text(""), *tables]


def _tokens(view: CircuitView, width: int) -> list[Any]:
    """Return tables of inputs and expectation values by token."""
    circuit = view.saved.circuit
    rows = [
        ([str(token.place), _quoted(token.text)], [f"{value:.4f}" for value in (*token.c, *token.q)])
        for token in view.tokens
    ]
    heads = [f"c{i}" for i in range(circuit.inputs)] + [f"q{i}" for i in range(circuit.qubits)]
    title = "Inputs c in radians, and expectation values q, for each token"
    return [Text(""), *_tables(title, ["", "token"], heads, rows, width)]


def _quoted(text: str) -> str:
    """Return a token's text in quotes, which shows spaces and line ends; long text is shortened."""
    quoted = repr(text)
    return quoted if len(quoted) <= LONGEST_TOKEN else quoted[: LONGEST_TOKEN - 1] + "…"


def _tables(
    title: str, labels: Sequence[str], heads: Sequence[str], rows: Sequence[tuple[list[str], list[str]]], width: int
) -> list[Table]:
    """Return a table, split into several if its number columns do not fit the width."""
    fitting = max(1, (width - LABELS) // CELL)
    if fitting < len(heads):  # balances the number of columns
        pieces = -(-len(heads) // fitting)
        fitting = -(-len(heads) // pieces)
    made = []
    for first in range(0, len(heads), fitting):
        table = Table(box=SIMPLE_HEAD, title=title if not first else None, title_justify="left", title_style="")
        for name in labels:
            table.add_column(name)
        for name in heads[first : first + fitting]:
            table.add_column(name, justify="right")
        for names, cells in rows:
            table.add_row(*map(Text, names), *cells[first : first + fitting])
        made.append(table)
    return made
