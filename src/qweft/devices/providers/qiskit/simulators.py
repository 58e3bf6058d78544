"""Aer, Qiskit's simulator: exact, or with a real chip's noise; and compilation to a chip's gates."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from qweft.circuit.formats import to_qiskit
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceSettings, Limits, RefusedError
from qweft.devices.outcomes import on_each_qubit
from qweft.devices.simulators import Simulator

SEED = 0
"""Seed of the transpiler: a circuit compiles the same way in every process."""
MOST_QUBITS = 12
"""A density matrix of 12 qubits takes 256 MiB."""


def parameter_values(circuit: Any, angles: np.ndarray) -> np.ndarray:
    """Return the angles of a compiled circuit's parameters, in its order.

    These may be fewer than the gates, because a compiler removes gates without effect.
    """
    return angles[:, [parameter.index for parameter in circuit.parameters]]


def simulate_probabilities(simulator: Any, circuit: Any, angles: np.ndarray) -> np.ndarray:
    """Return what `save_probabilities` of a circuit saves, for every row of angles, or one row if it has none."""
    columns = parameter_values(circuit, angles).T.tolist()
    bindings = dict(zip(circuit.parameters, columns, strict=True))
    result = simulator.run([circuit], parameter_binds=[bindings] if bindings else None).result()
    if not result.success:
        raise RefusedError(f"Aer: {' '.join(str(result.status).split())}")
    return np.array([experiment.data.probabilities for experiment in result.results])


def compile_form(backend: Any, circuits: BoundCircuits) -> Any:
    """Compile the form of circuits to a backend's gates, with symbolic parameters, and measure every qubit.

    Of a folded form U is compiled once and repeated, so that factor f has f times the gates, on the same wires.
    """
    from qiskit.transpiler import generate_preset_pass_manager

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
    from qiskit.circuit.equivalence_library import SessionEquivalenceLibrary
    from qiskit.transpiler import PassManager
    from qiskit.transpiler.passes import BasisTranslator

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


class AerSimulatorDevice(Simulator):
    """Aer with state vectors. It runs one circuit with an array of angles."""

    package = "qiskit_aer"

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        circuit = _decompose(circuits.template(), circuits.barriers)
        return simulate_probabilities(self.library.AerSimulator(method="statevector"), circuit, circuits.angles)

    def numbers(self, qubits: int) -> int:
        return 2**12  # so that a thousand circuits run at a time


@lru_cache(maxsize=16)
def _decompose(template: Any, barriers: tuple[int, ...]) -> Any:
    """Decompose controlled rotations, which Aer would run at angle zero. Everything else is unchanged."""
    from qiskit.transpiler import generate_preset_pass_manager

    manager = generate_preset_pass_manager(
        optimization_level=0, basis_gates=["rx", "ry", "rz", "cx"], seed_transpiler=SEED
    )
    circuit = manager.run(to_qiskit(template, measured=False, barriers=barriers))
    circuit.save_probabilities(range(template.qubits)[::-1])  # Qiskit's qubit 0 is the least significant bit
    return circuit


class FakeBackendDevice(AerSimulatorDevice):
    """Aer with the errors of gates, relaxation and readout that it derives from a chip's recorded calibration."""

    keeps_results = True

    def __init__(self, name: str, backend: Any, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        self._backend = backend
        self._compiled: dict[Any, CompiledForm] = {}
        self.limits = Limits(qubits=min(backend.num_qubits, MOST_QUBITS))

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        if circuits.form not in self._compiled:
            compiled = compile_form(self._backend, circuits)
            self._compiled[circuits.form] = CompiledForm(compiled, self._backend.target)
        form = self._compiled[circuits.form]
        probabilities = simulate_probabilities(form.simulator, form.circuit, circuits.angles)
        return on_each_qubit(probabilities, form.readout)


class CompiledForm:
    """A compiled form, and Aer with the errors of only the qubits that it uses.

    Those of all qubits of a large chip take 12 seconds to build and make every circuit 20 times slower.

    Attributes:
        measured_on: The physical qubit on which each circuit qubit is measured.
        circuit: The compiled circuit, which saves the probabilities of outcomes, circuit qubit 0 first.
        readout: p(reported | true) of each circuit qubit, with one row per true outcome.
        simulator: Aer.
    """

    def __init__(self, circuit: Any, target: Any) -> None:
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel
        from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

        self.measured_on = measured_qubits(circuit)
        self.circuit = circuit.remove_final_measurements(inplace=False)
        self.circuit.save_probabilities(self.measured_on[::-1])  # circuit qubit 0 first

        used = _used_target(circuit, target)
        errors = {qubits[0]: error.probabilities for qubits, error in basic_device_readout_errors(target=used)}
        no_error = np.eye(2)
        self.readout = [np.asarray(errors.get(qubit, no_error)) for qubit in self.measured_on]

        model = NoiseModel(basis_gates=sorted(set(used.operation_names) - {"measure"}))
        for name, qubits, error in basic_device_gate_errors(target=used):
            model.add_quantum_error(error, name, qubits)
        self.simulator = AerSimulator(method="density_matrix", noise_model=model)


def _used_target(circuit: Any, target: Any) -> Any:
    """Return the part of a chip's description that concerns the gates and qubits of a compiled circuit."""
    from qiskit.transpiler import Target

    names: set[str] = set()
    active: set[int] = set()
    for step in circuit.data:
        if step.operation.name != "barrier":
            names.add(step.operation.name)
            active.update(circuit.find_bit(qubit).index for qubit in step.qubits)
    used = Target(num_qubits=target.num_qubits, dt=target.dt, qubit_properties=target.qubit_properties)
    for name in sorted(names):
        properties = {}
        for qubits, qubit_properties in target[name].items():
            if qubits and active.issuperset(qubits):
                properties[qubits] = qubit_properties
        used.add_instruction(target.operation_from_name(name), properties)
    return used
