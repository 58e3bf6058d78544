"""Terminal output of a circuit: drawing, gate counts, angles, and values by token."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.circuit.description import counts
from qweft.circuit.draw.drawing import circuit_text
from qweft.core.text import join_few, many
from qweft.inspect.circuit_view.run import CircuitView
from qweft.method.names import formula


def describe(view: CircuitView, width: int) -> Group:
    """Return drawing, sizes, angles and tokens for the terminal."""
    circuit, dead = view.circuit, set(view.circuit.dead_parameters())
    angles = many(circuit.parameters, "trained angle" if view.angles_trained else "angle")
    title = (
        f"{view.layer}: {many(circuit.qubits, 'qubit')}, {many(view.layers, 'layer')}, {angles}"
        + ("" if view.angles_trained else " drawn at random and not trained")
        + (f", {len(dead)} of them dead (no output depends on them)" if dead else "")
        + f"; core {view.core}: {formula(view.core)}"
    )
    others = (
        f"\nthe first layer with a circuit; choose another with --layer: {join_few(view.others)}" if view.others else ""
    )
    cells = [f"t{i} {value:.4f}{'*' if i in dead else ''}" for i, value in enumerate(view.angles)]
    return Group(
        Text(f"{title}{others}\n"),
        Text(circuit_text(circuit, width) + "\n", no_wrap=True, overflow="ignore"),
        _sizes(view),
        Text(f"{_compilation(view)}\nAngles t in radians{'; * dead' if dead else ''}"),
        Columns(cells, equal=True, padding=(0, 2)),
        *(_tokens(view) if view.tokens else ()),
        *(Text(f"written: {file}") for file in view.files),
    )


def _sizes(view: CircuitView) -> Table:
    """Return a table of gate counts before and, with a chip, after compilation."""
    sizes = {"as written": counts(view.circuit)}
    if view.compiled is not None:
        sizes[f"on {view.compiled.chip}"] = view.compiled.counts
    table = Table("", box=SIMPLE_HEAD)
    for name in sizes:
        table.add_column(name, justify="right")
    table.add_row("gates", *(", ".join(f"{n} {name}" for name, n in size.gates.items()) for size in sizes.values()))
    for field in ("two_qubit", "one_qubit", "depth", "two_qubit_depth"):
        table.add_row(field.replace("_", " "), *(str(getattr(size, field)) for size in sizes.values()))
    return table


def _compilation(view: CircuitView) -> str:
    """Return lines on the chip, the compiler and the placement of qubits; empty without a compilation."""
    made = view.compiled
    if made is None:
        return ""
    moved = "" if made.start == made.end else f", measured on {', '.join(map(str, made.end))}"
    data = "inputs left open" if view.bound_token is None else f"the inputs of token {view.bound_token}"
    starts = f"{', '.join(map(str, made.start))} of {made.chip_qubits}{moved}"
    return (
        f"{made.chip}: {made.source}.\n{made.compiler}; the angles as numbers, {data}.\n"
        f"Our qubits 0 to {len(made.start) - 1} start on the chip's {starts}.\n"
    )


def _tokens(view: CircuitView) -> list[Any]:
    """Return a table of inputs and outputs by token."""
    title = "Inputs c in radians, and outputs q, of each token"
    table = Table("", "token", "c", "q", box=SIMPLE_HEAD, title=title, title_justify="left")
    for token in view.tokens:
        c, q = ("  ".join(f"{value:.4f}" for value in values) for values in (token["c"], token["q"]))
        table.add_row(str(token["place"]), Text(repr(token["text"])), c, q)
    return [Text(""), table]
