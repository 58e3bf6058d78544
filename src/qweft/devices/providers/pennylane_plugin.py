"""Devices that PennyLane's plugins bring along, chips among them: one tape a circuit."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, Limits
from qweft.devices.errors import DeviceError, RefusedError
from qweft.devices.extras import require
from qweft.devices.frequencies import Frequencies, from_counts
from qweft.devices.providers.fate import Fate, Step, error_of
from qweft.devices.providers.pennylane import operations
from qweft.devices.providers.secrets import names_credential, one_line, settings_of_pennylane
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

    So it gets few circuits at a time, and what it measured is kept after each time.

    Its options and credentials come from PennyLane's configuration file or from the environment, as its plugin says.

    Args:
        name: As the user gave it.
        target: PennyLane's name of it.
        settings: Has no bearing on it.
    """

    limits = Limits(circuits=10)

    def __init__(self, name: str, target: str, settings: DeviceSettings) -> None:
        super().__init__(name)
        self._library = require("pennylane", "pennylane", f"device {name}")
        self._target = target

    def identity(self) -> str:
        """Its name, and a hash of its settings in PennyLane's configuration file: they may say which chip it is."""
        config = self._library.default_config
        places = ("main", f"{self._target.partition('.')[0]}.global", self._target)  # where PennyLane looks
        options = _without_credentials({place: config[place] for place in places}) if settings_of_pennylane() else {}
        if not any(options.values()):
            return self.name
        said = json.dumps(options, sort_keys=True, default=str)
        return f"{self.name} settings {hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def check(self, shots: int | None) -> None:
        """See that the device can be made, which is where plugins ask for credentials.

        Raises:
            DeviceError: If it cannot, in the plugin's words, or shots are below 1.
        """
        if shots is not None and shots < 1:
            raise DeviceError(f"device {self.name} takes a number of shots of at least 1, got {shots}")
        self._device(1, Step.ASKING)

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Counts, or probabilities where no shots are asked for and the device has them.

        Raises:
            RefusedError: If the plugin will not do it, in its words.
            NotTakenError: If not even the device could be made.
            UnavailableError: If it did not get through. Nobody knows what of it was measured: a plugin sends one
                circuit after the other, and asks for their results, in the same call.
        """
        if circuits.placed_like is not None:
            raise RefusedError(
                f"device {self.name} does not tell on which qubits it puts a circuit, so errors in reading out cannot "
                "be measured for them; leave readout mitigation out"
            )
        qml, wires = self._library, range(circuits.qubits)
        measured = qml.probs(wires=wires) if shots is None else qml.counts(wires=wires)
        tapes = [qml.tape.QuantumScript(operations(circuits, row), [measured], shots=shots) for row in circuits.angles]
        if not tapes:
            return Frequencies(np.zeros((0, 2**circuits.qubits)), shots)
        device = self._device(circuits.qubits, Step.PREPARING)
        try:
            results = qml.execute(tapes, device, diff_method=None)
        except Exception as error:
            raise self._told(error, Step.SENDING) from None  # what it was raised from may show a credential
        if len(results) != len(tapes):
            raise RefusedError(f"device {self.name} gave {len(results)} results for {len(tapes)} circuits")
        try:
            rows = [_row(found, circuits.qubits, shots) for found in results]
        except (AttributeError, TypeError, ValueError) as error:
            raise RefusedError(f"device {self.name} gave results that do not fit: {one_line(error)}") from None
        return Frequencies(np.stack(rows), shots)

    def _device(self, qubits: int, step: Step) -> Any:
        try:
            return self._library.device(self._target, wires=qubits)
        except Exception as error:
            raise self._told(error, step) from None

    def _told(self, error: Exception, step: Step) -> DeviceError:
        text = one_line(error)
        transient = isinstance(error, TRANSIENT) or any(word in text.lower() for word in TRANSIENT_WORDS)
        sentence = f"device {self.name}: {text}"
        if not transient:
            return RefusedError(sentence)
        return error_of(Fate.UNKNOWN, step, sentence)


def _row(found: Any, qubits: int, shots: int | None) -> np.ndarray:
    if shots is not None:
        return from_counts({str(bits): int(count) for bits, count in found.items()}, qubits, shots)
    row = np.array(found, dtype=float)
    if row.shape != (2**qubits,):
        raise ValueError(f"{row.shape} probabilities of {qubits} qubits")
    return row


def _without_credentials(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_credentials(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if isinstance(value, dict) or not names_credential(name)
    }
