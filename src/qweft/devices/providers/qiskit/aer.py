"""Simulation with Aer: exact, or with the errors of a chip's recorded calibration."""

from functools import lru_cache
from typing import Any

import numpy as np
from qiskit.transpiler import Target, generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

from qweft.circuit import Circuit
from qweft.circuit.formats import to_qiskit
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import RefusedError
from qweft.devices.outcomes import on_each_qubit
from qweft.devices.providers.qiskit.compilation import SEED, compile_form, measured_qubits, parameter_values


def exact_probabilities(circuits: BoundCircuits) -> np.ndarray:
    """Return the probability of every outcome without errors, shape (circuits, 2^n)."""
    circuit = decompose(circuits.template(), circuits.barriers)
    return simulate_probabilities(AerSimulator(method="statevector"), circuit, circuits.angles)


def simulate_probabilities(simulator: Any, circuit: Any, angles: np.ndarray) -> np.ndarray:
    """Return what `save_probabilities` of a circuit saves, for every row of angles, or one row if it has none."""
    columns = parameter_values(circuit, angles).T.tolist()
    bindings = dict(zip(circuit.parameters, columns, strict=True))
    result = simulator.run([circuit], parameter_binds=[bindings] if bindings else None).result()
    if not result.success:
        raise RefusedError(f"Aer: {' '.join(str(result.status).split())}")
    return np.array([experiment.data.probabilities for experiment in result.results])


@lru_cache(maxsize=16)
def decompose(template: Circuit, barriers: tuple[int, ...]) -> Any:
    """Return a circuit that saves its probabilities, with one parameter for each gate that has an angle.

    Controlled rotations are decomposed, because Aer would run them at angle zero. Everything else is unchanged.
    """
    manager = generate_preset_pass_manager(
        optimization_level=0, basis_gates=["rx", "ry", "rz", "cx"], seed_transpiler=SEED
    )
    circuit = manager.run(to_qiskit(template, measured=False, barriers=barriers))
    circuit.save_probabilities(range(template.qubits)[::-1])  # Qiskit's qubit 0 is the least significant bit
    return circuit


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

    @classmethod
    def of(cls, backend: Any, circuits: BoundCircuits) -> "CompiledForm":
        """Compile the form of circuits for a backend."""
        return cls(compile_form(backend, circuits), backend.target)

    def probabilities(self, angles: np.ndarray) -> np.ndarray:
        """Return the probability of every reported outcome for each row of angles, shape (circuits, 2^n)."""
        return on_each_qubit(simulate_probabilities(self.simulator, self.circuit, angles), self.readout)


def _used_target(circuit: Any, target: Any) -> Any:
    """Return the part of a chip's description that concerns the gates and qubits of a compiled circuit."""
    names: set[str] = set()
    active: set[int] = set()
    for step in circuit.data:
        if step.operation.name != "barrier":
            names.add(step.operation.name)
            active.update(circuit.find_bit(qubit).index for qubit in step.qubits)
    used = Target(num_qubits=target.num_qubits, dt=target.dt, qubit_properties=target.qubit_properties)
    for name in sorted(names):
        on_qubits = target[name]
        properties = {qubits: on_qubits[qubits] for qubits in on_qubits if qubits and active.issuperset(qubits)}
        used.add_instruction(target.operation_from_name(name), properties)
    return used
