"""Devices of Aer, Qiskit's simulator: exact, or with a real chip's noise. Qiskit is imported when one of them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceSettings, Limits
from qweft.devices.simulators import Simulator

if TYPE_CHECKING:
    from qweft.devices.providers.qiskit.aer import CompiledForm

MOST_QUBITS = 12
"""A density matrix of 12 qubits takes 256 MiB."""


class AerSimulatorDevice(Simulator):
    """Aer with state vectors. It runs one circuit with an array of angles."""

    package = "qiskit_aer"

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        from qweft.devices.providers.qiskit.aer import exact_probabilities

        return exact_probabilities(circuits)

    def numbers(self, qubits: int) -> int:
        return 2**12  # so that a thousand circuits run at a time


class FakeBackendDevice(AerSimulatorDevice):
    """Aer with the errors of gates, relaxation and readout that it derives from a chip's recorded calibration."""

    keeps_results = True

    def __init__(self, name: str, backend: Any, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        self._backend = backend
        self._compiled: dict[Any, CompiledForm] = {}
        self.limits = Limits(qubits=min(backend.num_qubits, MOST_QUBITS))

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        from qweft.devices.providers.qiskit.aer import CompiledForm

        if circuits.form not in self._compiled:
            self._compiled[circuits.form] = CompiledForm.of(self._backend, circuits)
        return self._compiled[circuits.form].probabilities(circuits.angles)
