"""pyqpanda3's simulators on this machine: state vectors, and density matrices under a named noise model."""

from __future__ import annotations

from typing import Any

import numpy as np

from qweft.circuit.formats.origin import program
from qweft.devices.bound import BoundCircuits
from qweft.devices.confusion import on_each_qubit
from qweft.devices.errors import DeviceError
from qweft.devices.extras import require
from qweft.devices.noise.model import NoiseModel
from qweft.devices.providers.noisy_steps import named_noise, noisy_steps
from qweft.devices.providers.simulator import LibrarySimulator
from qweft.devices.settings import DeviceSettings


class OriginCPUDevice(LibrarySimulator):
    """Circuit by circuit: pyqpanda3 has no batches here, and needs about 1 ms for a circuit.

    Raises:
        DeviceError: If pyqpanda3 is not installed, or the noise model is none that it has.
    """

    def __init__(self, name: str, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        self._core = require("pyqpanda3.core", "origin", f"device {name}")
        self._noise = named_noise(settings)
        if self._noise is not None and self._noise.channel == "pair":
            raise DeviceError(
                f"device {name} has no depolarizing error of a pair of qubits, as noise {self._noise.name} has it; use "
                "channel: each, or qiskit:aer"
            )

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        """Of every outcome, under the noise model where there is one."""
        order = list(range(circuits.qubits))[::-1]  # of pyqpanda3's outcomes the first qubit is the least significant
        found = np.empty((len(circuits), 2**circuits.qubits))
        if self._noise is None:
            machine = self._core.CPUQVM()
            for place, row in enumerate(circuits.angles):
                machine.run(program(circuits.qubits, circuits.gates, row, circuits.barriers, measured=False), 1)
                found[place] = machine.result().get_prob_list(order)
            return found
        simulator, noise = self._core.DensityMatrixSimulator(), self._gate_errors(self._noise)
        steps, angles = noisy_steps(circuits)
        for place, row in enumerate(angles.tolist()):
            simulator.run(self._native_program(circuits.qubits, steps, row), noise)
            found[place] = np.array(simulator.state_probs()).reshape([2] * circuits.qubits).T.ravel()
        return on_each_qubit(found, [np.array(self._noise.readout)] * circuits.qubits)

    def _native_program(self, qubits: int, steps: tuple[Any, ...], row: list[float]) -> Any:
        """Native gates: rotations have no error, and the identity that ends a one-qubit gate has it."""
        core = self._core
        rotations = {"rx": core.RX, "ry": core.RY, "rz": core.RZ}
        found = core.QProg(qubits)
        for step in steps:
            if step.name in rotations:
                found << rotations[step.name](*step.wires, row[step.column])
            else:
                found << (core.I(*step.wires) if step.name == "error" else core.CZ(*step.wires))
        return found

    def _gate_errors(self, noise: NoiseModel) -> Any:
        """pyqpanda3's depolarizing error is (1 - p) rho + p I/2, on either qubit of a CZ by itself: channel "each"."""
        core = self._core
        model = core.NoiseModel()
        model.add_all_qubit_quantum_error(core.depolarizing_error(noise.one_qubit), core.GateType.I)
        model.add_all_qubit_quantum_error(core.depolarizing_error(noise.two_qubit), core.GateType.CZ)
        return model

    def _noise_identity(self) -> str:
        return "" if self._noise is None else self._noise.identity()
