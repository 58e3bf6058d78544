"""Terminal output of a circuit: drawing, gate counts, angles, and values by token."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.circuit.description import counts
from qweft.circuit.drawing import circuit_text
from qweft.circuit_view.run import CircuitView
from qweft.method.names import formula
from qweft.text import many, some


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
        *_angles(view),
        *(_tokens(view) if view.tokens else ()),
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


def _angles(view: CircuitView) -> list[Any]:
    """Return the trained angles by the numbers that the drawing has."""
    circuit = view.saved.circuit
    dead = set(circuit.dead_parameters())
    angles = enumerate(view.saved.angles.tolist())
    cells = [f"t{number} {value:.4f}{'*' if number in dead else ''}" for number, value in angles]
    title = Text(f"Angles t in radians{'; * dead' if dead else ''}")
    return [Text(""), title, Columns(cells, equal=True, padding=(0, 2))]


def _tokens(view: CircuitView) -> list[Any]:
    """Return a table of inputs and outputs by token."""
    table = Table(box=SIMPLE_HEAD, title="Inputs c in radians, and outputs q, of each token", title_justify="left")
    for head in ("", "token", "c", "q"):
        table.add_column(head)
    for token in view.tokens:
        c, q = ("  ".join(f"{value:.4f}" for value in values) for values in (token.c, token.q))
        table.add_row(str(token.place), Text(repr(token.text)), c, q)
    return [Text(""), table]
