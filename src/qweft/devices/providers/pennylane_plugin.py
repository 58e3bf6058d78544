"""Devices that PennyLane's plugins bring along, chips among them: one tape a circuit."""

from __future__ import annotations

from typing import Any

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device
from qweft.devices.errors import DeviceError, RefusedError, UnavailableError
from qweft.devices.extras import require
from qweft.devices.frequencies import Frequencies, from_counts
from qweft.devices.providers.pennylane import operations
from qweft.devices.providers.secrets import one_line
from qweft.devices.settings import DeviceSettings

TRANSIENT = (ConnectionError, TimeoutError)
TRANSIENT_WORDS = (
    "timed out",
    "timeout",
    "temporarily",
    "connection",
    "unavailable",
    "too many requests",
    "503",
    "429",
)


class PennyLanePlugin(Device):
    """A device of a plugin. It answers when all is measured: a job that is under way when the process ends is lost.

    Its options and credentials come from PennyLane's configuration file or from the environment, as its plugin says.

    Args:
        name: As the user gave it.
        target: PennyLane's name of it.
        settings: Has no bearing on it.
    """

    def __init__(self, name: str, target: str, settings: DeviceSettings) -> None:
        super().__init__(name)
        self._library = require("pennylane", "pennylane", f"device {name}")
        self._target = target

    def check(self, shots: int | None) -> None:
        """See that the device can be made, which is where plugins ask for credentials.

        Raises:
            DeviceError: If it cannot, in the plugin's words, or shots are below 1.
        """
        if shots is not None and shots < 1:
            raise DeviceError(f"device {self.name} takes a number of shots of at least 1, got {shots}")
        self._device(1)

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Counts, or probabilities where no shots are asked for and the device has them.

        Raises:
            RefusedError: If the plugin will not do it, in its words.
            UnavailableError: If it did not get through.
        """
        if circuits.placed_like is not None:
            raise RefusedError(
                f"device {self.name} does not tell on which qubits it puts a circuit, so errors in reading out cannot "
                "be measured for them; leave readout mitigation out"
            )
        qml, wires = self._library, range(circuits.qubits)
        measured = qml.probs(wires=wires) if shots is None else qml.counts(wires=wires)
        tapes = [qml.tape.QuantumScript(operations(circuits, row), [measured], shots=shots) for row in circuits.angles]
        device = self._device(circuits.qubits)
        try:
            results = qml.execute(tapes, device, diff_method=None)
        except Exception as error:
            raise self._told(error) from None  # what it was raised from may show a credential
        if shots is None:
            return Frequencies(np.array(results, dtype=float), None)
        rows = [from_counts({str(k): int(v) for k, v in counts.items()}, circuits.qubits, shots) for counts in results]
        return Frequencies(np.stack(rows), shots)

    def _device(self, qubits: int) -> Any:
        try:
            return self._library.device(self._target, wires=qubits)
        except Exception as error:
            raise self._told(error) from None

    def _told(self, error: Exception) -> DeviceError:
        text = one_line(error)
        transient = isinstance(error, TRANSIENT) or any(word in text.lower() for word in TRANSIENT_WORDS)
        return (UnavailableError if transient else RefusedError)(f"device {self.name}: {text}")
