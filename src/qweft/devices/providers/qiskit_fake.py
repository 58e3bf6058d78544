"""Aer with the noise of a real chip, from the calibration that IBM's package keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.confusion import on_each_qubit
from qweft.devices.device import Limits
from qweft.devices.errors import RefusedError
from qweft.devices.extras import require
from qweft.devices.providers.qiskit_compile import compile_for, measured_places
from qweft.devices.providers.qiskit_forms import Form, probabilities_of
from qweft.devices.providers.simulator import LibrarySimulator
from qweft.devices.settings import DeviceSettings
from qweft.plural import many

MOST_QUBITS = 12
"""A density matrix of 12 qubits has 256 MiB."""


class FakeBackendDevice(LibrarySimulator):
    """A form is compiled to the chip's gates and wires once; probabilities are those of Aer's density matrix.

    The errors are Aer's reading of the calibration: depolarizing errors and relaxation of every gate, and each qubit's
    errors in reading out. They are the same whenever it runs: it is a record of a chip, not the chip.

    Args:
        name: As the user gave it.
        backend: A backend of `qiskit_ibm_runtime.fake_provider`.
        settings: `seed` of the shots.
    """

    keeps_results = True

    def __init__(self, name: str, backend: Any, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        require("qiskit_aer", "qiskit", f"device {name}")
        self._backend = backend
        self._compiled: dict[Form, Compiled] = {}
        self.limits = Limits(qubits=min(backend.num_qubits, MOST_QUBITS))

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        """Of every outcome, errors in reading out among them.

        Raises:
            RefusedError: If the chip or the simulator has too few qubits.
        """
        if not len(circuits):
            return np.zeros((0, 2**circuits.qubits))
        form = Form.of(circuits)
        if form not in self._compiled:
            self._compiled[form] = self._compile(form)
        compiled = self._compiled[form]
        found = probabilities_of(compiled.simulator, compiled.saved, circuits.angles)
        return on_each_qubit(found, compiled.readout)

    def compiled(self, circuits: BoundCircuits) -> Any:
        """The circuits' form in the chip's gates, on its wires, measured at the end."""
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
    """A compiled form, and Aer with the errors of those qubits that it uses.

    The errors of all qubits of a large chip take 12 seconds to build and make every circuit 20 times slower, for the
    same probabilities.

    Args:
        circuit: From `compile_for`.
        target: The backend's.
    """

    circuit: Any
    target: Any

    @cached_property
    def active(self) -> set[int]:
        """The chip's qubits that a gate acts on."""
        return {
            self.circuit.find_bit(qubit).index
            for step in self.circuit.data
            if step.operation.name != "barrier"
            for qubit in step.qubits
        }

    @cached_property
    def places(self) -> list[int]:
        """The chip's qubit for each of ours."""
        return measured_places(self.circuit)

    @cached_property
    def saved(self) -> Any:
        """The circuit that saves probabilities, our qubit 0 first, instead of measuring."""
        found = self.circuit.remove_final_measurements(inplace=False)
        found.save_probabilities(self.places[::-1])
        return found

    @cached_property
    def readout(self) -> list[np.ndarray]:
        """Of each of our qubits, p(reported | true) in row true."""
        from qiskit_aer.noise.device import basic_device_readout_errors

        found = {
            qubits[0]: np.asarray(error.probabilities)
            for qubits, error in basic_device_readout_errors(target=self._used)
        }
        return [found.get(place, np.eye(2)) for place in self.places]

    @cached_property
    def simulator(self) -> Any:
        """Aer with the gates' errors."""
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
