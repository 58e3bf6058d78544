"""Terminal output of a circuit: drawing, gate counts, angles, and values by token."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.circuit.description import Counts, counts, trained_steps
from qweft.circuit.drawing import circuit_text
from qweft.circuit_view.saved import SavedCircuit
from qweft.circuit_view.tokens import TokenValues
from qweft.devices.chips import Compilation
from qweft.method.names import formula
from qweft.text import many, some


@dataclass(frozen=True)
class CircuitView:
    """A circuit with its values, compilation and files."""

    adapter: str
    saved: SavedCircuit
    text: str | None = None
    tokens: tuple[TokenValues, ...] = ()
    bound: TokenValues | None = None
    compilation: Compilation | None = None
    files: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def written(self) -> Counts:
        """Gate counts of the circuit before compilation."""
        return counts(self.saved.circuit)

    def to_json(self) -> dict[str, Any]:
        """Returns everything as JSON-compatible values, with numbers in full precision."""
        saved, circuit = self.saved, self.saved.circuit
        return {
            "adapter": self.adapter,
            "layer": saved.layer,
            "core": saved.core,
            "circuit": {
                "qubits": circuit.qubits,
                "layers": saved.layers,
                "inputs": circuit.inputs,
                "gates": [asdict(gate) for gate in circuit.gates],
            },
            "angles": saved.angles.tolist(),
            "angles_trained": saved.is_trained,
            "dead_angles": list(circuit.dead_parameters()),
            "written": self.written.to_json(),
            "compiled": None if self.compilation is None else self.compilation.to_json(),
            "text": self.text,
            "tokens": [token.to_json() for token in self.tokens],
            "bound_token": None if self.bound is None else self.bound.place,
            "files": list(self.files),
        }


CELL = 9
"""Width of a number in a table, in characters."""
LABELS = 26
"""Width of the label columns before the numbers, in characters."""
LONGEST_TOKEN = 14


def describe(found: CircuitView, width: int) -> Group:
    """Returns drawing, sizes, angles and tokens for the terminal."""
    return Group(
        Text(_title(found)),
        *(
            [Text(f"the first layer with a circuit; choose another with --layer: {some(found.others)}")]
            if found.others
            else []
        ),
        Text(""),
        Text(circuit_text(found.saved.circuit, width), no_wrap=True, overflow="ignore"),
        Text(""),
        _sizes(found),
        *(Text(sentence) for sentence in _sentences(found)),
        *_angles(found, width),
        *(_tokens(found, width) if found.tokens else ()),
        *(Text(f"written: {file}") for file in found.files),
    )


def _title(found: CircuitView) -> str:
    saved, circuit = found.saved, found.saved.circuit
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


def _sizes(found: CircuitView) -> Table:
    """Returns a table of gate counts before and, with a chip, after compilation."""
    sizes = {"as written": found.written}
    if found.compilation is not None:
        sizes[f"on {found.compilation.chip}"] = found.compilation.counts
    rows: dict[str, Callable[[Counts], object]] = {
        "gates": lambda size: ", ".join(f"{number} {name}" for name, number in size.gates.items()),
        "gates on two qubits": lambda size: size.two_qubit,
        "gates on one qubit": lambda size: size.one_qubit,
        "depth": lambda size: size.depth,
        "depth in gates on two qubits": lambda size: size.two_qubit_depth,
    }
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for name in sizes:
        table.add_column(name, justify="right")
    for name, value in rows.items():
        table.add_row(name, *(f"{value(size)}" for size in sizes.values()))
    return table


def _sentences(found: CircuitView) -> list[str]:
    """Returns sentences on the chip, the compiler and the placement of qubits; empty without a compilation."""
    made = found.compilation
    if made is None:
        return []
    starts = ", ".join(map(str, made.start))
    moved = "" if made.start == made.end else f", measured on {', '.join(map(str, made.end))}"
    data = "inputs left open" if found.bound is None else f"the inputs of token {found.bound.place}"
    return [
        f"{made.chip}: {made.source}.",
        f"{made.compiler}; the angles as numbers, {data}.",
        f"Our qubits 0 to {len(made.start) - 1} start on the chip's {starts} of {made.chip_qubits}{moved}.",
    ]


def _angles(found: CircuitView, width: int) -> list[Any]:
    """Returns tables of the angles by layer, gate and qubit."""
    saved, circuit = found.saved, found.saved.circuit
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


def _tokens(found: CircuitView, width: int) -> list[Any]:
    """Returns tables of inputs and expectation values by token."""
    circuit = found.saved.circuit
    rows = [
        ([str(token.place), _shown(token.text)], [f"{value:.4f}" for value in (*token.c, *token.q)])
        for token in found.tokens
    ]
    heads = [f"c{i}" for i in range(circuit.inputs)] + [f"q{i}" for i in range(circuit.qubits)]
    title = "Inputs c in radians, and expectation values q, for each token"
    return [Text(""), *_tables(title, ["", "token"], heads, rows, width)]


def _shown(text: str) -> str:
    """Returns a token's text in quotes, which shows spaces and line ends; long text is shortened."""
    quoted = repr(text)
    return quoted if len(quoted) <= LONGEST_TOKEN else quoted[: LONGEST_TOKEN - 1] + "…"


def _tables(
    title: str, labels: Sequence[str], heads: Sequence[str], rows: Sequence[tuple[list[str], list[str]]], width: int
) -> list[Table]:
    """Returns a table, split into several if its number columns do not fit the width."""
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
