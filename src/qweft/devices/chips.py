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


@dataclass(frozen=True)
class Chip:
    """A chip: gates, rows and columns of qubits for a circuit's number of them, and Qiskit's record of a real one."""

    name: str
    gates: tuple[str, ...]
    source: str
    lattice: Callable[[int], tuple[int, int]] | None = None
    backend: Any = None


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
OPTIMIZATION, SEED = 3, 0
"""Highest level of Qiskit's preset pass manager, and a fixed seed for reproducible compilation."""


@dataclass(frozen=True)
class Compilation:
    """Result of compiling a circuit for a chip."""

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
    from qweft.devices.providers.qiskit import fake_backend

    backend = fake_backend(name)
    gates = {gate.name for gate in backend.target.operations if getattr(gate, "num_qubits", 0) in (1, 2)}
    native = tuple(sorted(gates - {"measure", "reset", "delay", "id"}))
    return Chip(name, native, f"qiskit_ibm_runtime's record of IBM's chip {name.partition('_')[2]}", backend=backend)


def compiled_for(
    chip: Chip, circuit: Circuit, inputs: Numbers | None, parameters: Numbers | None
) -> tuple[Any, Compilation]:
    """Compile a circuit for a chip, without measurements: the compiler keeps gates that no measurement could detect."""
    options: dict[str, Any] = {"backend": chip.backend} if chip.backend else {"basis_gates": list(chip.gates)}
    lattice = chip.lattice and chip.lattice(circuit.qubits)
    qubits = math.prod(lattice) if lattice else chip.backend.num_qubits if chip.backend else circuit.qubits
    if qubits < circuit.qubits:
        has, needs = many(qubits, "qubit"), circuit.qubits
        raise DeviceError(f"chip {chip.name} has {has}, and the circuit has {needs}; name a larger one")
    import qiskit
    from qiskit.transpiler import CouplingMap, generate_preset_pass_manager

    if lattice:
        options["coupling_map"] = CouplingMap.from_grid(*lattice)
    manager = generate_preset_pass_manager(optimization_level=OPTIMIZATION, seed_transpiler=SEED, **options)
    compiled = manager.run(to_qiskit(circuit, inputs, parameters, measured=False))
    gates = [
        (step.operation.name, tuple(compiled.find_bit(qubit).index for qubit in step.qubits))
        for step in compiled.data
        if step.operation.name != "barrier"
    ]
    start = end = tuple(range(circuit.qubits))
    if compiled.layout is not None:
        start = tuple(compiled.layout.initial_index_layout(filter_ancillas=True))
        end = tuple(compiled.layout.final_index_layout())
    return compiled, Compilation(
        chip=chip.name,
        source=chip.source,
        native=chip.gates,
        chip_qubits=qubits,
        counts=counts_of(gates),
        start=start,
        end=end,
        compiler=f"Qiskit {qiskit.__version__}, optimisation level {OPTIMIZATION}, seed {SEED}",
    )
