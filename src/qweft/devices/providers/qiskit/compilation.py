"""Compilation of circuits to a backend's gates with Qiskit, once for all circuits of a form."""

from typing import Any

import numpy as np
from qiskit.circuit.equivalence_library import SessionEquivalenceLibrary
from qiskit.transpiler import PassManager, generate_preset_pass_manager
from qiskit.transpiler.passes import BasisTranslator

from qweft.circuit.formats import to_qiskit
from qweft.devices.bound import BoundCircuits

SEED = 0
"""Seed of the transpiler: a circuit compiles the same way in every process."""


def parameter_values(circuit: Any, angles: np.ndarray) -> np.ndarray:
    """Return the angles of a compiled circuit's parameters, in its order.

    These may be fewer than the gates, because a compiler removes gates without effect.
    """
    return angles[:, [parameter.index for parameter in circuit.parameters]]


def compile_form(backend: Any, circuits: BoundCircuits) -> Any:
    """Compile the form of circuits to a backend's gates, with symbolic parameters, and measure every qubit.

    Of a folded form U is compiled once and repeated, so that factor f has f times the gates, on the same wires.
    """
    if circuits.folds > 1:
        gates_a_part = len(circuits.gates) // circuits.folds
        part = BoundCircuits(circuits.qubits, circuits.gates[:gates_a_part], circuits.angles[:, :gates_a_part], folds=1)
        return fold_compiled(compile_form(backend, part), circuits.folds, backend.target)
    circuit = to_qiskit(circuits.template(), measured=False, barriers=circuits.barriers)
    circuit.measure_all()
    layout = None
    if circuits.placed_like is not None:
        layout = measured_qubits(compile_form(backend, circuits.placed_like))
    manager = generate_preset_pass_manager(
        optimization_level=1, backend=backend, seed_transpiler=SEED, initial_layout=layout
    )
    return manager.run(circuit)


def fold_compiled(circuit: Any, folds: int, target: Any) -> Any:
    """Return C (C^dagger C)^k of a compiled and measured circuit C, with folds = 1 + 2 k. Parameters are those of C."""
    gates = circuit.copy_empty_like()
    measurements = circuit.copy_empty_like()
    for step in circuit.data:
        if step.operation.name == "measure":
            measurements.append(step)
        else:
            gates.append(step)
    # the inverse of a native gate need not be native; translated gate by gate it stays on the same wires
    inverse = PassManager([BasisTranslator(SessionEquivalenceLibrary, None, target)]).run(gates.inverse())
    folded = circuit.copy_empty_like()
    for part in range(folds):
        if part:
            folded.barrier()
        folded.compose(inverse if part % 2 else gates, inplace=True)
    return folded.compose(measurements)


def measured_qubits(circuit: Any) -> list[int]:
    """Return the physical qubit on which each circuit qubit is measured. Routing can move it there."""
    physical = {}
    for step in circuit.data:
        if step.operation.name == "measure":
            circuit_qubit = circuit.find_bit(step.clbits[0]).index
            physical[circuit_qubit] = circuit.find_bit(step.qubits[0]).index
    return [physical[qubit] for qubit in range(len(physical))]
