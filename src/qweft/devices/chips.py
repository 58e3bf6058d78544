"""Chips by name, and a circuit compiled for one by Qiskit."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from qweft.circuit import Circuit
from qweft.circuit.description import Counts, counts_of
from qweft.circuit.formats import to_qiskit
from qweft.circuit.formats.common import Numbers
from qweft.devices.device import DeviceError, require
from qweft.text import many, near

Edges = tuple[tuple[int, int], ...]


def line(qubits: int) -> Edges:
    """Each qubit beside the next."""
    return tuple((place, place + 1) for place in range(qubits - 1))


def lattice(rows: int, columns: int) -> Edges:
    """A square lattice, its qubits numbered row by row."""
    along = ((row * columns + i, row * columns + i + 1) for row in range(rows) for i in range(columns - 1))
    across = ((row * columns + i, (row + 1) * columns + i) for row in range(rows - 1) for i in range(columns))
    return (*along, *across)


@dataclass(frozen=True)
class Chip:
    """A chip.

    Args:
        name: As the user gives it.
        gates: What it can do, by Qiskit's names of gates.
        qubits: How many it has; none means as many as a circuit takes.
        edges: From the number of qubits to the pairs that can take a gate together, in either order; none means all.
        source: Where this is from, and what of it is ours.
    """

    name: str
    gates: tuple[str, ...]
    qubits: int | None
    edges: Callable[[int], Edges] | None
    source: str

    def size_for(self, qubits: int) -> int:
        """How many qubits it has for a circuit of so many."""
        return qubits if self.qubits is None else self.qubits


SUPERCONDUCTING = ("u3", "cz")
CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            "all-to-all", SUPERCONDUCTING, None, None,
            "u3 and cz between any two qubits: what the noise models of this package assume; no chip is like that",
        ),
        Chip("line", SUPERCONDUCTING, None, line, "u3 and cz along a line of as many qubits as the circuit has: ours"),
        Chip(
            "lattice", SUPERCONDUCTING, 72, lambda _: lattice(6, 12),
            "u3 and cz on a square lattice of 6 x 12. Origin's Wukong has 72 qubits and 126 couplers (its maker, "
            "January 2024), as many as this lattice; that they form it whole, and that all of them work, is our "
            "simplification",
        ),
        Chip(
            "ion-trap", ("r", "rz", "rzz"), None, None,
            "rotations and exp(-i t ZZ / 2) of any angle between any two ions, as Quantinuum describes its machines "
            "(U1q, Rz, ZZPhase); as many ions as the circuit has",
        ),
    )
}  # fmt: skip


OPTIMIZATION, SEED = 3, 0
"""Of Qiskit's preset pass manager: its highest level, and one seed, so that a circuit compiles the same way again."""


@dataclass(frozen=True)
class Compilation:
    """What a circuit takes on a chip.

    Args:
        chip: As the user named it.
        source: Where the chip's description is from.
        native: Its gates.
        chip_qubits: How many qubits it has.
        counts: The size of the compiled circuit.
        start: The chip's qubit on which each of ours starts.
        end: ... and on which it is measured; routing may have moved it.
        compiler: Name and version, level and seed.
    """

    chip: str
    source: str
    native: tuple[str, ...]
    chip_qubits: int
    counts: Counts
    start: tuple[int, ...]
    end: tuple[int, ...]
    compiler: str

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Place:
    """A chip as Qiskit's compiler takes it.

    Args:
        name: As the user named it.
        source: Where it is from.
        native: Its gates on qubits.
        qubits: How many it has.
        options: Of `generate_preset_pass_manager`.
    """

    name: str
    source: str
    native: tuple[str, ...]
    qubits: int
    options: dict[str, Any]


def find_chip(name: str, qubits: int) -> Place:
    """The chip of that name: of `CHIPS`, or `qiskit:fake_NAME`.

    Args:
        name: As the user gave it.
        qubits: Of the circuit.

    Raises:
        DeviceError: If there is none, it has too few qubits, or Qiskit is not installed.
    """
    require("qiskit", "qiskit", f"chip {name}")
    place = _fake(name) if name.startswith("qiskit:fake_") else _named(name, qubits)
    if place.qubits < qubits:
        raise DeviceError(
            f"chip {name} has {many(place.qubits, 'qubit')}, and the circuit has {qubits}; name a larger one"
        )
    return place


def compiled_for(
    place: Place, circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None
) -> tuple[Any, Compilation]:
    """The circuit compiled, as a unitary: what no measurement could tell is kept.

    Args:
        place: From `find_chip`.
        circuit: The circuit.
        inputs: (circuit.inputs,) in radians; none leaves them open, for one compilation of all tokens.
        parameters: (circuit.parameters,) in radians, or none.

    Returns:
        Qiskit's circuit on all qubits of the chip, and what it takes.
    """
    import qiskit
    from qiskit.transpiler import generate_preset_pass_manager

    manager = generate_preset_pass_manager(optimization_level=OPTIMIZATION, seed_transpiler=SEED, **place.options)
    found = manager.run(to_qiskit(circuit, inputs, parameters, measured=False))
    gates = [
        (step.operation.name, tuple(found.find_bit(qubit).index for qubit in step.qubits))
        for step in found.data
        if step.operation.name != "barrier"
    ]
    start, end = range(circuit.qubits), range(circuit.qubits)
    if found.layout is not None:
        start = found.layout.initial_index_layout(filter_ancillas=True)
        end = found.layout.final_index_layout()
    compiler = f"Qiskit {qiskit.__version__}, optimisation level {OPTIMIZATION}, seed {SEED}"
    return found, Compilation(
        place.name, place.source, place.native, place.qubits, counts_of(gates), tuple(start), tuple(end), compiler
    )


def _named(name: str, qubits: int) -> Place:
    chip = CHIPS.get(name)
    if chip is None:
        close = near(name, CHIPS)
        raise DeviceError(
            f"there is no chip {name}; "
            + (f"did you mean {close[0]}?" if close else f"there are {', '.join(CHIPS)}, and qiskit:fake_NAME")
        )
    return Place(name, chip.source, chip.gates, chip.size_for(qubits), _options(chip, qubits))


def _options(chip: Chip, qubits: int) -> dict[str, Any]:
    options: dict[str, Any] = {"basis_gates": list(chip.gates)}
    size = chip.size_for(qubits)
    if chip.edges is not None and size > 1:
        from qiskit.transpiler import CouplingMap

        both_ways = [pair for one, two in chip.edges(size) for pair in ((one, two), (two, one))]
        options["coupling_map"] = CouplingMap(both_ways)
    return options


def _fake(name: str) -> Place:
    from qweft.devices.providers.qiskit import fake_backends

    backends = {f"qiskit:{key}": backend for key, backend in fake_backends(f"chip {name}").items()}
    if name not in backends:
        close = ", ".join(near(name, backends, most=3))
        raise DeviceError(f"there is no chip {name}; near it are {close or 'qiskit:fake_torino and others'}")
    backend = backends[name]
    target = backend.target
    known = target.operation_names
    gates = [each for each in known if getattr(target.operation_from_name(each), "num_qubits", 0) in (1, 2)]
    native = tuple(sorted(set(gates) - {"measure", "reset", "delay", "id"}))
    source = f"qiskit_ibm_runtime's record of IBM's chip {name.partition('_')[2]}"
    return Place(name, source, native, backend.num_qubits, {"backend": backend})
