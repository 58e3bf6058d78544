"""Chips by name, and compilation for them with Qiskit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qweft.circuit import Circuit
from qweft.circuit.description import Counts, counts_of
from qweft.circuit.formats import to_qiskit
from qweft.circuit.formats.common import Numbers
from qweft.core.errors import require
from qweft.core.text import many
from qweft.devices.device import DeviceError
from qweft.devices.providers.qiskit import fake_backend

OPTIMIZATION = 3
"""Highest level of Qiskit's preset pass manager."""
SEED = 0
"""A fixed seed: a circuit compiles the same way in every process."""


@dataclass(frozen=True)
class Chip:
    """A chip to compile for.

    Args:
        name: Its name.
        gates: Names of its native gates, as Qiskit has them.
        source: Where gates and couplings are from, one sentence.
        lattice: Returns rows and columns of the chip for a circuit's number of qubits. `None` if any two qubits are
            coupled.
        backend: Qiskit's record of a real chip, which takes the place of gates and lattice.
    """

    name: str
    gates: tuple[str, ...]
    source: str
    lattice: Callable[[int], tuple[int, int]] | None = None
    backend: Any = None

    def qubits_for(self, circuit: Circuit) -> int:
        """Return the number of the chip's qubits; it grows with the circuit where it is not fixed."""
        if self.backend is not None:
            return int(self.backend.num_qubits)
        if self.lattice is not None:
            return math.prod(self.lattice(circuit.qubits))
        return circuit.qubits


CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            "all-to-all",
            ("u3", "cz"),
            "u3 and cz between any two qubits: what the noise models of this package assume; no chip is like that",
        ),
        Chip(
            "line",
            ("u3", "cz"),
            "u3 and cz along a line of as many qubits as the circuit has: ours",
            lambda qubits: (1, qubits),
        ),
        Chip(
            "lattice",
            ("u3", "cz"),
            "u3 and cz on a square lattice of 6 x 12. Origin's Wukong has 72 qubits and 126 couplers (its maker, "
            "January 2024), as many as this lattice; that they form it whole, and that all of them work, is our "
            "simplification",
            lambda _: (6, 12),
        ),
        Chip(
            "ion-trap",
            ("r", "rz", "rzz"),
            "rotations and exp(-i t ZZ / 2) of any angle between any two ions, as Quantinuum describes its machines "
            "(U1q, Rz, ZZPhase); as many ions as the circuit has",
        ),
    )
}


@dataclass(frozen=True)
class Compilation:
    """Result of compiling a circuit for a chip.

    Args:
        chip: Name of the chip.
        source: Where its gates and couplings are from.
        native: Names of its native gates.
        chip_qubits: Number of its qubits.
        counts: Size of the compiled circuit.
        start: The chip's qubit on which each of the circuit's qubits begins.
        end: The chip's qubit on which each of the circuit's qubits is measured; routing can move it there.
        compiler: Name, version and settings of the compiler.
    """

    chip: str
    source: str
    native: tuple[str, ...]
    chip_qubits: int
    counts: Counts
    start: tuple[int, ...]
    end: tuple[int, ...]
    compiler: str


def find_chip(name: str) -> Chip:
    """Return the chip with this name, one of `CHIPS` or `qiskit:fake_NAME`."""
    if name not in CHIPS and not name.startswith("qiskit:fake_"):
        raise DeviceError(f"there is no chip {name}; there are {', '.join(CHIPS)}, and qiskit:fake_NAME")
    require("qiskit", "qiskit", f"chip {name}")
    if name in CHIPS:
        return CHIPS[name]
    backend = fake_backend(name)
    unitaries = {gate.name for gate in backend.target.operations if getattr(gate, "num_qubits", 0) in (1, 2)}
    native = tuple(sorted(unitaries - {"measure", "reset", "delay", "id"}))
    return Chip(name, native, f"qiskit_ibm_runtime's record of IBM's chip {name.partition('_')[2]}", backend=backend)


def compile_for_chip(
    chip: Chip, circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None
) -> tuple[Any, Compilation]:
    """Compile a circuit for a chip, without measurements: the compiler keeps gates that no measurement could detect.

    Args:
        chip: The chip.
        circuit: The circuit.
        inputs: A row of inputs in radians. `None` leaves them as symbols.
        parameters: A row of trained angles in radians. `None` leaves them as symbols.

    Returns:
        Qiskit's compiled circuit, and a description of it.

    Raises:
        DeviceError: The chip has too few qubits.
    """
    chip_qubits = chip.qubits_for(circuit)
    if chip_qubits < circuit.qubits:
        size = many(chip_qubits, "qubit")
        raise DeviceError(f"chip {chip.name} has {size}, and the circuit has {circuit.qubits}; name a larger chip")
    import qiskit
    from qiskit.transpiler import CouplingMap, generate_preset_pass_manager

    options: dict[str, Any] = {"backend": chip.backend} if chip.backend else {"basis_gates": list(chip.gates)}
    if chip.lattice is not None:
        options["coupling_map"] = CouplingMap.from_grid(*chip.lattice(circuit.qubits))
    manager = generate_preset_pass_manager(optimization_level=OPTIMIZATION, seed_transpiler=SEED, **options)
    compiled = manager.run(to_qiskit(circuit, inputs, parameters, measured=False))
    start, end = _qubits_of_layout(compiled, circuit.qubits)
    return compiled, Compilation(
        chip=chip.name,
        source=chip.source,
        native=chip.gates,
        chip_qubits=chip_qubits,
        counts=counts_of(_compiled_gates(compiled)),
        start=start,
        end=end,
        compiler=f"Qiskit {qiskit.__version__}, optimisation level {OPTIMIZATION}, seed {SEED}",
    )


def _compiled_gates(compiled: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Return (name, wires) of the gates of Qiskit's circuit."""
    gates = []
    for step in compiled.data:
        if step.operation.name != "barrier":
            wires = tuple(compiled.find_bit(qubit).index for qubit in step.qubits)
            gates.append((step.operation.name, wires))
    return gates


def _qubits_of_layout(compiled: Any, qubits: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the chip's qubits on which the circuit's qubits begin and end."""
    if compiled.layout is None:  # the compiler had no reason to move any
        identity = tuple(range(qubits))
        return identity, identity
    start = tuple(compiled.layout.initial_index_layout(filter_ancillas=True))
    return start, tuple(compiled.layout.final_index_layout())
