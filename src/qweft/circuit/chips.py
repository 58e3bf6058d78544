"""A circuit compiled for a chip's gates and couplings by Qiskit, to see what it costs there."""

from dataclasses import dataclass
from typing import Any

import torch

from qweft.circuit.counts import Counts, count_gates
from qweft.circuit.description import Circuit
from qweft.circuit.formats.qiskit import to_qiskit
from qweft.errors import QweftError
from qweft.extras import require


@dataclass(frozen=True)
class Chip:
    """Gates and couplings.

    Args:
        gates: By Qiskit's names.
        lattice: Rows and columns of a square lattice of qubits; none couples every qubit to every other.
        note: What of it is ours.
    """

    gates: tuple[str, ...]
    lattice: tuple[int, int] | None
    note: str


CHIPS = {
    "origin-wukong": Chip(
        ("u", "cz"),
        (6, 12),
        "U3 and CZ on 72 qubits; the square lattice of 6 x 12 is our simplification: which qubits are coupled and work "
        "stands only in the chip's own calibration",
    ),
    "ion-trap": Chip(
        ("rz", "r", "rxx"),
        None,
        "RZ, R and RXX between any two qubits, the gates that trapped ions offer; that nothing else limits them is our "
        "simplification",
    ),
}
"""Chips that are described here."""
RECORDED = {"ibm-torino": "fake_torino"}
"""Chips whose gates, couplings and calibration qiskit-ibm-runtime has recorded, by our name."""


@dataclass(frozen=True)
class Compiled:
    """A circuit as a chip would run it.

    Args:
        chip: Its name.
        note: What is known of it, and what is ours.
        gates: Names of the chip's gates.
        counts: Of the compiled circuit.
        layout: For each qubit of ours the chip's qubit on which it starts.
        optimization_level: Qiskit's.
        seed: Of its compiler.
    """

    chip: str
    note: str
    gates: list[str]
    counts: Counts
    layout: list[int]
    optimization_level: int
    seed: int


def compile_for(
    chip: str, circuit: Circuit, angles: torch.Tensor, optimization_level: int = 3, seed: int = 0
) -> Compiled:
    """Compile the circuit, with its trained angles as numbers and its inputs open, by Qiskit's preset pass manager.

    Args:
        chip: A name in `CHIPS` or `RECORDED`, or "qiskit:fake_NAME".
        circuit: The circuit.
        angles: (circuit.parameters,), in radians.
        optimization_level: 0 to 3.
        seed: Of the compiler.

    Raises:
        QweftError: If there is no such chip, it has too few qubits, or Qiskit is not installed.
    """
    what, note = _chip(chip, circuit.qubits)
    make = require("qiskit.transpiler", "qiskit", f"chip {chip}").generate_preset_pass_manager
    manager = make(optimization_level=optimization_level, seed_transpiler=seed, **what)
    found = manager.run(to_qiskit(circuit, parameters=angles.tolist(), measured=True))
    gates = [
        (item.operation.name, tuple(found.find_bit(qubit).index for qubit in item.qubits))
        for item in found.data
        if item.operation.name not in ("measure", "barrier", "delay")
    ]
    layout = range(circuit.qubits) if found.layout is None else found.layout.initial_index_layout(filter_ancillas=True)
    known = list(what["basis_gates"]) if "basis_gates" in what else list(what["backend"].operation_names)
    return Compiled(chip, note, known, count_gates(gates), list(layout), optimization_level, seed)


def _chip(chip: str, qubits: int) -> tuple[dict[str, Any], str]:
    """What the compiler is told, and what to say of it."""
    if chip in CHIPS:
        known = CHIPS[chip]
        told: dict[str, Any] = {"basis_gates": list(known.gates)}
        if known.lattice is not None:
            _check_size(chip, known.lattice[0] * known.lattice[1], qubits)
            couplings = require("qiskit.transpiler", "qiskit", f"chip {chip}").CouplingMap
            told["coupling_map"] = couplings.from_grid(*known.lattice)
        return told, known.note
    name = RECORDED.get(chip, chip.removeprefix("qiskit:") if chip.startswith("qiskit:fake_") else "")
    if not name:
        raise QweftError(f"there is no chip {chip}; there are {', '.join([*CHIPS, *RECORDED])}, and qiskit:fake_NAME")
    provider = require("qiskit_ibm_runtime.fake_provider", "qiskit", f"chip {chip}").FakeProviderForBackendV2()
    names = [backend.name for backend in provider.backends()]
    if name not in names:
        raise QweftError(f"chip {chip}: qiskit-ibm-runtime has recorded no {name}; it has {', '.join(names)}")
    backend = provider.backend(name)
    _check_size(chip, backend.num_qubits, qubits)
    return {"backend": backend}, f"gates, couplings and calibration as qiskit-ibm-runtime has recorded them ({name})"


def _check_size(chip: str, has: int, needs: int) -> None:
    if needs > has:
        raise QweftError(f"chip {chip} has {has} qubits, and the circuit needs {needs}")
