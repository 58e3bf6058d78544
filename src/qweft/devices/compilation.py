"""A circuit in the gates and on the qubits of a chip, by Qiskit's compiler, and what it takes there."""

from dataclasses import asdict, dataclass
from typing import Any

from qweft.circuit import Circuit
from qweft.circuit.counts import Counts, counts_of
from qweft.circuit.formats import to_qiskit
from qweft.circuit.formats.angles import Numbers
from qweft.devices.chips import CHIPS, Chip
from qweft.devices.errors import DeviceError
from qweft.devices.extras import require
from qweft.plural import many
from qweft.suggest import near

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
