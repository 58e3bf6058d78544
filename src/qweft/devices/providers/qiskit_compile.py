"""Circuits of one form in the gates and on the wires of a chip."""

from __future__ import annotations

from typing import Any

from qweft.circuit.formats.qiskit import template
from qweft.devices.providers.qiskit_forms import SEED, Form


def compile_for(backend: Any, form: Form) -> Any:
    """The form in a backend's gates, with the parameters left open, and a measurement of every qubit.

    The same in every process, for the same calibration of the backend.
    """
    from qiskit.transpiler import generate_preset_pass_manager

    circuit = template(form.qubits, form.gates, form.barriers)
    circuit.measure_all()
    layout = None if form.placed_like is None else measured_places(compile_for(backend, form.placed_like))
    manager = generate_preset_pass_manager(
        optimization_level=1, backend=backend, seed_transpiler=SEED, initial_layout=layout
    )
    return manager.run(circuit)


def measured_places(circuit: Any) -> list[int]:
    """The chip's qubit on which each of ours is measured in a compiled circuit; routing may have moved it there."""
    measured = [step for step in circuit.data if step.operation.name == "measure"]
    qubits = {circuit.find_bit(step.clbits[0]).index: circuit.find_bit(step.qubits[0]).index for step in measured}
    return [qubits[qubit] for qubit in range(len(qubits))]
