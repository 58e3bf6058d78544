"""PennyLane's own simulators, many circuits in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.confusion import on_each_qubit
from qweft.devices.extras import require
from qweft.devices.providers.noisy_steps import named_noise, noisy_steps
from qweft.devices.providers.pennylane import SIMULATORS, operations
from qweft.devices.providers.simulator import LibrarySimulator
from qweft.devices.settings import DeviceSettings

NUMBERS_AT_A_TIME = 2**22
"""64 MB in complex128."""


class PennyLaneSimulator(LibrarySimulator):
    """The circuits as one tape whose angles are arrays ("parameter broadcasting")."""

    def __init__(self, name: str, target: str, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        self._library = require("pennylane", "pennylane", f"device {name}")
        self._target = target
        self._noise = named_noise(settings)

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        """Of every outcome, under the noise model where there is one."""
        wires = range(circuits.qubits)
        device = self._library.device(self._target, wires=circuits.qubits)
        at_a_time = max(1, NUMBERS_AT_A_TIME >> circuits.qubits * SIMULATORS[self._target])
        found = np.empty((len(circuits), 2**circuits.qubits))
        for first in range(0, len(circuits), at_a_time):
            some = circuits.pick(slice(first, first + at_a_time))
            tape = self._library.tape.QuantumScript(list(self._operations(some)), [self._library.probs(wires=wires)])
            (found[first : first + at_a_time],) = self._library.execute([tape], device, diff_method=None)
        if self._noise is None:
            return found
        return on_each_qubit(found, [np.array(self._noise.readout)] * circuits.qubits)

    def _operations(self, circuits: BoundCircuits) -> Iterator[Any]:
        if self._noise is not None:
            yield from self._noisy_operations(circuits)
            return
        yield from operations(circuits, list(circuits.angles.T))

    def _noisy_operations(self, circuits: BoundCircuits) -> Iterator[Any]:
        """Native gates with PennyLane's channels; its depolarizing probability is that of any of X, Y and Z: 3p/4."""
        qml, noise = self._library, self._noise
        assert noise is not None
        rotations = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ}
        steps, angles = noisy_steps(circuits)
        for step in steps:
            if step.name in rotations:
                yield rotations[step.name](angles[:, step.column], wires=step.wires)
            elif step.name == "error":
                yield qml.DepolarizingChannel(0.75 * noise.one_qubit, wires=step.wires)
            else:
                yield qml.CZ(wires=step.wires)
                if noise.channel == "pair":
                    yield qml.QubitChannel(_pair(noise.two_qubit), wires=step.wires)
                else:
                    yield from (qml.DepolarizingChannel(0.75 * noise.two_qubit, wires=wire) for wire in step.wires)

    def _noise_identity(self) -> str:
        return "" if self._noise is None else self._noise.identity()


def _pair(p: float) -> list[np.ndarray]:
    """Kraus operators of (1 - p) rho + p I/4 on two qubits: the sixteen products of Paulis, I I with the rest."""
    paulis = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    weights = np.full(16, p / 16)
    weights[0] += 1 - p
    products = [np.kron(one, two) for one in paulis for two in paulis]
    return [np.sqrt(weight) * product for weight, product in zip(weights, products, strict=True)]
