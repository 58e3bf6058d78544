"""Aer, Qiskit's simulator: exact, with a noise model, or with a real chip's noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from qweft.circuit.formats.qiskit import template
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceSettings, Limits, RefusedError, require
from qweft.devices.noise.model import NoiseModel
from qweft.devices.noise.native import noisy_steps
from qweft.devices.outcomes import on_each_qubit
from qweft.devices.simulators import LibrarySimulator
from qweft.text import many

SEED = 0
"""Seed of the transpiler: a circuit compiles the same way in every process."""
CIRCUITS_AT_A_TIME = 1000


@dataclass(frozen=True)
class Form:
    """What circuits of one form share: gates, wires, barriers and placement. Hashable, so that it is compiled once."""

    qubits: int
    gates: tuple[tuple[str, tuple[int, ...]], ...]
    barriers: tuple[int, ...]
    folds: int = 1
    placed_like: Form | None = None

    @classmethod
    def of(cls, circuits: BoundCircuits) -> Form:
        """Return the form of these circuits."""
        like = None if circuits.placed_like is None else cls(circuits.qubits, *circuits.placed_like)
        return cls(circuits.qubits, circuits.gates, circuits.barriers, circuits.folds, like)

    def unfolded(self) -> Form:
        """Return the form of U in U (U^dagger U)^k."""
        count = len(self.gates) // self.folds
        return Form(self.qubits, self.gates[:count], tuple(place for place in self.barriers if place < count))


def values_of(circuit: Any, angles: np.ndarray) -> np.ndarray:
    """Return the columns of angles for a compiled circuit's parameters, in the order of `circuit.parameters`.

    A compiler removes gates that cannot change a measurement, and their parameters with them.
    """
    return angles[:, [parameter.index for parameter in circuit.parameters]]


def probabilities_of(simulator: Any, circuit: Any, angles: np.ndarray) -> np.ndarray:
    """Return what `save_probabilities` of a circuit saves, for every row of angles, in few runs."""
    values = values_of(circuit, angles)
    rows: list[np.ndarray] = []
    for first in range(0, len(values), CIRCUITS_AT_A_TIME):
        some = values[first : first + CIRCUITS_AT_A_TIME]
        binds = {parameter: some[:, column].tolist() for column, parameter in enumerate(circuit.parameters)}
        result = simulator.run(
            [circuit] * (1 if binds else len(some)), parameter_binds=[binds] if binds else None
        ).result()
        if not result.success:
            raise RefusedError(f"Aer: {' '.join(str(result.status).split())}")
        rows.extend(np.asarray(one.data.probabilities) for one in result.results)
    return np.stack(rows)


def compile_for(backend: Any, form: Form) -> Any:
    """Compile a form to a backend's gates, with symbolic parameters and a measurement of every qubit.

    The result is the same in every process, for the same calibration of the backend. Of a folded form U is compiled
    once and repeated, so that factor f has f times the gates, on the same wires.
    """
    from qiskit.transpiler import generate_preset_pass_manager

    if form.folds > 1:
        return repeat(compile_for(backend, form.unfolded()), form.folds, backend.target)
    circuit = template(form.qubits, form.gates, form.barriers)
    circuit.measure_all()
    layout = None if form.placed_like is None else measured_places(compile_for(backend, form.placed_like))
    manager = generate_preset_pass_manager(
        optimization_level=1, backend=backend, seed_transpiler=SEED, initial_layout=layout
    )
    return manager.run(circuit)


def repeat(circuit: Any, folds: int, target: Any) -> Any:
    """Return C (C^dagger C)^k of a compiled and measured circuit C, with folds = 1 + 2 k. Parameters are those of C."""
    found = circuit.copy_empty_like()
    found.global_phase = 0  # phases of C and its inverse cancel; nothing measures one
    gates = [step for step in circuit.data if step.operation.name != "measure"]
    for part in range(folds):
        if part:
            found.barrier()
        if part % 2 == 0:
            for step in gates:
                found.append(step)
        else:
            for step in reversed(gates):
                _undo(found, step, target)
    for step in circuit.data:
        if step.operation.name == "measure":
            found.append(step)
    return found


def _undo(circuit: Any, step: Any, target: Any) -> None:
    """Append the inverse of a gate, in the target's gates."""
    gate, wires = step.operation, step.qubits
    if gate.name == "sx" and "rz" in target:  # rz(pi) sx rz(pi) is its inverse, up to a phase; rz has no error
        circuit.rz(np.pi, *wires)
        circuit.sx(*wires)
        circuit.rz(np.pi, *wires)
        return
    inverse = gate.inverse()
    if gate.name != "barrier" and inverse.name not in target:
        raise RefusedError(
            f"zero-noise extrapolation: {inverse.name}, the inverse of {gate.name}, is none of the chip's gates; leave "
            "the extrapolation out"
        )
    circuit.append(inverse, wires)


def measured_places(circuit: Any) -> list[int]:
    """Return the physical qubit on which each circuit qubit is measured. Routing can move it there."""
    measured = [step for step in circuit.data if step.operation.name == "measure"]
    qubits = {circuit.find_bit(step.clbits[0]).index: circuit.find_bit(step.qubits[0]).index for step in measured}
    return [qubits[qubit] for qubit in range(len(qubits))]


class AerSimulatorDevice(LibrarySimulator):
    """Aer with state vectors, or density matrices under noise. It runs one circuit with an array of angles."""

    def __init__(self, name: str, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        require("qiskit", "qiskit", f"device {name}")
        require("qiskit_aer", "qiskit", f"device {name}")

    def exact(self, circuits: BoundCircuits) -> np.ndarray:
        """Return the probability of every outcome without noise."""
        from qiskit_aer import AerSimulator

        return probabilities_of(AerSimulator(method="statevector"), _decomposed(Form.of(circuits)), circuits.angles)

    def noisy(self, circuits: BoundCircuits, noise: NoiseModel) -> np.ndarray:
        """Return the probability of every outcome under the gate errors."""
        from qiskit_aer import AerSimulator

        simulator = AerSimulator(method="density_matrix", noise_model=aer_noise(noise))
        return probabilities_of(simulator, *_noisy(circuits))


@lru_cache(maxsize=16)
def _decomposed(form: Form) -> Any:
    """Decompose controlled rotations, which Aer would run at angle zero. Everything else is unchanged."""
    from qiskit.transpiler import generate_preset_pass_manager

    plain = template(form.qubits, form.gates, form.barriers)
    manager = generate_preset_pass_manager(
        optimization_level=0, basis_gates=["rx", "ry", "rz", "cx"], seed_transpiler=SEED
    )
    found = manager.run(plain)
    found.save_probabilities(range(form.qubits)[::-1])  # Qiskit's qubit 0 is the least significant bit
    return found


def _noisy(circuits: BoundCircuits) -> tuple[Any, np.ndarray]:
    """Build native gates. Rotations have no error; an identity after each one-qubit gate carries it."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    steps, angles = noisy_steps(circuits)
    circuit = QuantumCircuit(circuits.qubits)
    parameters = ParameterVector("t", angles.shape[1])
    for step in steps:
        if step.name == "error":
            circuit.id(*step.wires)
        elif step.name == "cz":
            circuit.cz(*step.wires)
        else:
            getattr(circuit, step.name)(parameters[step.column], *step.wires)
    circuit.save_probabilities(range(circuits.qubits)[::-1])
    return circuit, angles


def aer_noise(noise: NoiseModel) -> Any:
    """Convert gate errors to Aer's noise model. Its depolarizing error is ours: (1 - p) rho + p I / 2^n."""
    from qiskit_aer.noise import NoiseModel as AerNoise
    from qiskit_aer.noise import depolarizing_error

    two = depolarizing_error(noise.two_qubit, 1)
    model = AerNoise(basis_gates=["rx", "ry", "rz", "id", "cz"])
    model.add_all_qubit_quantum_error(depolarizing_error(noise.one_qubit, 1), ["id"])
    pair = depolarizing_error(noise.two_qubit, 2) if noise.channel == "pair" else two.tensor(two)
    model.add_all_qubit_quantum_error(pair, ["cz"])
    return model


MOST_QUBITS = 12
"""A density matrix of 12 qubits takes 256 MiB."""


class FakeBackendDevice(LibrarySimulator):
    """Aer with the noise of a chip's recorded calibration. A form is compiled once to the chip's gates and wires.

    Aer derives the errors from the calibration: depolarizing errors and relaxation of every gate, and each qubit's
    readout errors. They never change, because they come from a recorded snapshot.
    """

    keeps_results = True

    def __init__(self, name: str, backend: Any, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        require("qiskit_aer", "qiskit", f"device {name}")
        self._backend = backend
        self._compiled: dict[Form, Compiled] = {}
        self.limits = Limits(qubits=min(backend.num_qubits, MOST_QUBITS))

    def exact(self, circuits: BoundCircuits) -> np.ndarray:
        """Return the probability of every outcome, including readout errors."""
        form = Form.of(circuits)
        if form not in self._compiled:
            self._compiled[form] = self._compile(form)
        compiled = self._compiled[form]
        found = probabilities_of(compiled.simulator, compiled.saved, circuits.angles)
        return on_each_qubit(found, compiled.readout)

    def compiled(self, circuits: BoundCircuits) -> Any:
        """Return the circuits' form in the chip's gates, on its wires, measured at the end."""
        return compile_for(self._backend, Form.of(circuits))

    def _compile(self, form: Form) -> Compiled:
        if form.qubits > self._backend.num_qubits:
            raise RefusedError(
                f"device {self.name} has {many(self._backend.num_qubits, 'qubit')}, and a circuit has {form.qubits}"
            )
        compiled = Compiled(compile_for(self._backend, form), self._backend.target)
        if len(compiled.active) > MOST_QUBITS:
            raise RefusedError(
                f"device {self.name} keeps a density matrix of at most {MOST_QUBITS} qubits, and the compiled circuit "
                f"takes {len(compiled.active)}"
            )
        return compiled


@dataclass
class Compiled:
    """A compiled form, and Aer with the errors of only the qubits that it uses.

    The errors of all qubits of a large chip take 12 seconds to build and make every circuit 20 times slower, for the
    same probabilities.
    """

    circuit: Any
    target: Any

    @cached_property
    def active(self) -> set[int]:
        """Physical qubits that an operation acts on."""
        return {
            self.circuit.find_bit(qubit).index
            for step in self.circuit.data
            if step.operation.name != "barrier"
            for qubit in step.qubits
        }

    @cached_property
    def places(self) -> list[int]:
        """Physical qubit on which each circuit qubit is measured."""
        return measured_places(self.circuit)

    @cached_property
    def saved(self) -> Any:
        """The circuit with its measurements replaced by saved probabilities, circuit qubit 0 first."""
        found = self.circuit.remove_final_measurements(inplace=False)
        found.save_probabilities(self.places[::-1])
        return found

    @cached_property
    def readout(self) -> list[np.ndarray]:
        """p(reported | true) of each circuit qubit, with one row per true outcome."""
        from qiskit_aer.noise.device import basic_device_readout_errors

        found = {
            qubits[0]: np.asarray(error.probabilities)
            for qubits, error in basic_device_readout_errors(target=self._used)
        }
        return [found.get(place, np.eye(2)) for place in self.places]

    @cached_property
    def simulator(self) -> Any:
        """Aer with the gate errors."""
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel
        from qiskit_aer.noise.device import basic_device_gate_errors

        model = NoiseModel(basis_gates=sorted(set(self._used.operation_names) - {"measure"}))
        for name, qubits, error in basic_device_gate_errors(target=self._used):
            model.add_quantum_error(error, name, qubits)
        return AerSimulator(method="density_matrix", noise_model=model)

    @cached_property
    def _used(self) -> Any:
        """The part of the target that the circuit uses."""
        from qiskit.transpiler import Target

        found = Target(
            num_qubits=self.target.num_qubits, dt=self.target.dt, qubit_properties=self.target.qubit_properties
        )
        for name in set(self.circuit.count_ops()) - {"barrier"}:
            properties = {
                qubits: of_gate
                for qubits, of_gate in self.target[name].items()
                if qubits is not None and set(qubits) <= self.active
            }
            found.add_instruction(self.target.operation_from_name(name), properties)
        return found
