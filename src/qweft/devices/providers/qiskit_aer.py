"""Qiskit's simulator Aer: exact, or under a named noise model."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from qweft.circuit.formats.qiskit import template
from qweft.devices.bound import BoundCircuits
from qweft.devices.confusion import on_each_qubit
from qweft.devices.extras import require
from qweft.devices.noise.model import NoiseModel
from qweft.devices.providers.noisy_steps import named_noise, noisy_steps
from qweft.devices.providers.qiskit_forms import SEED, Form, probabilities_of
from qweft.devices.providers.simulator import LibrarySimulator
from qweft.devices.settings import DeviceSettings


class AerSimulatorDevice(LibrarySimulator):
    """State vectors without noise, density matrices with it; the circuits as one, with an array of angles."""

    def __init__(self, name: str, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        require("qiskit", "qiskit", f"device {name}")
        require("qiskit_aer", "qiskit", f"device {name}")
        self._noise = named_noise(settings)

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        """Of every outcome, under the noise model where there is one."""
        from qiskit_aer import AerSimulator

        if not len(circuits):
            return np.zeros((0, 2**circuits.qubits))
        if self._noise is None:
            return probabilities_of(AerSimulator(method="statevector"), *_exact(circuits))
        simulator = AerSimulator(method="density_matrix", noise_model=aer_noise(self._noise))
        found = probabilities_of(simulator, *_noisy(circuits))
        return on_each_qubit(found, [np.array(self._noise.readout)] * circuits.qubits)

    def _noise_identity(self) -> str:
        return "" if self._noise is None else self._noise.identity()


def _exact(circuits: BoundCircuits) -> tuple[Any, np.ndarray]:
    return _decomposed(Form.of(circuits)), circuits.angles


@lru_cache(maxsize=16)
def _decomposed(form: Form) -> Any:
    """Without controlled rotations, which Aer would run at angle zero; nothing else is changed."""
    from qiskit.transpiler import generate_preset_pass_manager

    plain = template(form.qubits, form.gates, form.barriers)
    manager = generate_preset_pass_manager(
        optimization_level=0, basis_gates=["rx", "ry", "rz", "cx"], seed_transpiler=SEED
    )
    found = manager.run(plain)
    found.save_probabilities(range(form.qubits)[::-1])  # Qiskit's first qubit is the least significant bit
    return found


def _noisy(circuits: BoundCircuits) -> tuple[Any, np.ndarray]:
    """Native gates: rotations have no error, and the identity that ends a one-qubit gate has it."""
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
    """The errors of gates as Aer has them; its depolarizing error is (1 - p) rho + p I / 2^n, as ours."""
    from qiskit_aer.noise import NoiseModel as AerNoise
    from qiskit_aer.noise import depolarizing_error

    two = depolarizing_error(noise.two_qubit, 1)
    model = AerNoise(basis_gates=["rx", "ry", "rz", "id", "cz"])
    model.add_all_qubit_quantum_error(depolarizing_error(noise.one_qubit, 1), ["id"])
    pair = depolarizing_error(noise.two_qubit, 2) if noise.channel == "pair" else two.tensor(two)
    model.add_all_qubit_quantum_error(pair, ["cz"])
    return model
