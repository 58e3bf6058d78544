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


def values_of(circuit: Any, angles: np.ndarray) -> np.ndarray:
    """Return the angles of a compiled circuit's parameters, in its order; a compiler removes gates without effect."""
    return angles[:, [parameter.index for parameter in circuit.parameters]]


def probabilities_of(simulator: Any, circuit: Any, angles: np.ndarray) -> np.ndarray:
    """Return what `save_probabilities` of a circuit saves, for every row of angles, or one row if it has none."""
    binds = dict(zip(circuit.parameters, values_of(circuit, angles).T.tolist(), strict=True))
    result = simulator.run([circuit], parameter_binds=[binds] if binds else None).result()
    if not result.success:
        raise RefusedError(f"Aer: {' '.join(str(result.status).split())}")
    return np.array([one.data.probabilities for one in result.results])


def compile_for(backend: Any, circuits: BoundCircuits) -> Any:
    """Compile the form of circuits to a backend's gates, with symbolic parameters, and measure every qubit.

    Of a folded form U is compiled once and repeated, so that factor f has f times the gates, on the same wires.
    """
    from qiskit.transpiler import generate_preset_pass_manager

    if circuits.folds > 1:
        count = len(circuits.gates) // circuits.folds
        once = BoundCircuits(circuits.qubits, circuits.gates[:count], circuits.angles[:, :count], 1)
        return repeat(compile_for(backend, once), circuits.folds, backend.target)
    circuit = to_qiskit(circuits.template(), measured=False, barriers=circuits.barriers)
    circuit.measure_all()
    layout = None if circuits.placed_like is None else measured_places(compile_for(backend, circuits.placed_like))
    manager = generate_preset_pass_manager(
        optimization_level=1, backend=backend, seed_transpiler=SEED, initial_layout=layout
    )
    return manager.run(circuit)


def repeat(circuit: Any, folds: int, target: Any) -> Any:
    """Return C (C^dagger C)^k of a compiled and measured circuit C, with folds = 1 + 2 k. Parameters are those of C."""
    from qiskit.circuit.equivalence_library import SessionEquivalenceLibrary
    from qiskit.transpiler import PassManager
    from qiskit.transpiler.passes import BasisTranslator

    once, repeated, measures = (circuit.copy_empty_like() for _ in range(3))
    for step in circuit.data:
        (measures if step.operation.name == "measure" else once).append(step)
    inverse = PassManager([BasisTranslator(SessionEquivalenceLibrary, None, target)]).run(once.inverse())
    for part in range(folds):
        if part:
            repeated.barrier()
        repeated.compose(inverse if part % 2 else once, inplace=True)
    return repeated.compose(measures)


def measured_places(circuit: Any) -> list[int]:
    """Return the physical qubit on which each circuit qubit is measured. Routing can move it there."""
    measured = [step for step in circuit.data if step.operation.name == "measure"]
    qubits = {circuit.find_bit(step.clbits[0]).index: circuit.find_bit(step.qubits[0]).index for step in measured}
    return [qubits[qubit] for qubit in range(len(qubits))]


class AerSimulatorDevice(Simulator):
    """Aer with state vectors. It runs one circuit with an array of angles."""

    package = "qiskit_aer"

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        circuit = _decomposed(circuits.template(), circuits.barriers)
        return probabilities_of(self.library.AerSimulator(method="statevector"), circuit, circuits.angles)

    def numbers(self, qubits: int) -> int:
        return 2**12  # a thousand circuits at a time


@lru_cache(maxsize=16)
def _decomposed(template: Any, barriers: tuple[int, ...]) -> Any:
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
        self._compiled: dict[Any, Compiled] = {}
        self.limits = Limits(qubits=min(backend.num_qubits, MOST_QUBITS))

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        if circuits.form not in self._compiled:
            self._compiled[circuits.form] = Compiled(compile_for(self._backend, circuits), self._backend.target)
        compiled = self._compiled[circuits.form]
        chances = probabilities_of(compiled.simulator, compiled.saved, circuits.angles)
        return on_each_qubit(chances, compiled.readout)


class Compiled:
    """A compiled form, and Aer with the errors of only the qubits that it uses.

    Those of all qubits of a large chip take 12 seconds to build and make every circuit 20 times slower.
    """

    def __init__(self, circuit: Any, target: Any) -> None:
        from qiskit.transpiler import Target
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel
        from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

        steps = [step for step in circuit.data if step.operation.name != "barrier"]
        active = {circuit.find_bit(qubit).index for step in steps for qubit in step.qubits}
        used = Target(num_qubits=target.num_qubits, dt=target.dt, qubit_properties=target.qubit_properties)
        for name in {step.operation.name for step in steps}:
            properties = {qubits: it for qubits, it in target[name].items() if qubits and set(qubits) <= active}
            used.add_instruction(target.operation_from_name(name), properties)
        self.places = measured_places(circuit)
        self.saved = circuit.remove_final_measurements(inplace=False)
        self.saved.save_probabilities(self.places[::-1])  # circuit qubit 0 first
        errors = {qubits[0]: error.probabilities for qubits, error in basic_device_readout_errors(target=used)}
        # p(reported | true) of each circuit qubit, with one row per true outcome
        self.readout = [np.asarray(errors.get(place, np.eye(2))) for place in self.places]
        model = NoiseModel(basis_gates=sorted(set(used.operation_names) - {"measure"}))
        for name, qubits, error in basic_device_gate_errors(target=used):
            model.add_quantum_error(error, name, qubits)
        self.simulator = AerSimulator(method="density_matrix", noise_model=model)
