"""PennyLane's devices: its own simulators, and installed plugins."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from qweft.circuit.formats import to_pennylane
from qweft.core.redaction import names_credential
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import (
    CatalogueEntry,
    Device,
    DeviceSettings,
    Limits,
    Provider,
    RefusedError,
    Step,
    UnavailableError,
)
from qweft.devices.outcomes import Frequencies, from_counts
from qweft.devices.simulators import Simulator
from qweft.internals.providers import settings_in

SIMULATORS = ("default.qubit", "default.mixed", "lightning.qubit", "lightning.gpu", "lightning.kokkos")
"""Devices that take many circuits in one call."""
LOCAL = ("default.", "lightning.")
"""How the names of PennyLane's own simulators begin; a plugin may stand for a chip that costs money."""


def operations(circuits: BoundCircuits, angles: np.ndarray) -> list[Any]:
    """Convert circuits with angles (..., gates) to PennyLane operations."""
    import pennylane as qml

    with qml.queuing.AnnotatedQueue() as queue:
        to_pennylane(circuits.template(), measured=False, barriers=circuits.barriers)(angles)
    return list(qml.tape.QuantumScript.from_queue(queue).operations)


class PennyLaneSimulator(Simulator):
    """A simulator that runs all circuits as one tape with arrays of angles (parameter broadcasting)."""

    package = "pennylane"

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        qml = self.library
        device = qml.device(self.target, wires=circuits.qubits, config={})
        measured = [qml.probs(wires=range(circuits.qubits))]
        tape = qml.tape.QuantumScript(operations(circuits, circuits.angles), measured)
        (probabilities,) = qml.execute([tape], device, diff_method=None)
        return np.asarray(probabilities)

    def numbers(self, qubits: int) -> int:
        return 4**qubits  # of a density matrix


class PennyLanePlugin(Device):
    """A device of a plugin, with the options and credentials of PennyLane's configuration file or the environment.

    It blocks, and a job is lost if the process ends. So it gets few circuits per call, whose results are then stored.
    """

    package = "pennylane"
    limits = Limits(circuits=10)
    meanings = (
        ("timed out|timeout|temporarily|connection|unavailable|too many requests|503|429", UnavailableError),
        ("", RefusedError),  # everything else
    )

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.may_bill = not self.target.startswith(LOCAL)

    def identity(self) -> str:
        """Return the name, and a hash of the device's settings in PennyLane's file, which may select the chip."""
        vendor = self.target.partition(".")[0]
        sections = ("main.", f"{vendor}.global.", f"{self.target}.")  # of the file, those that such a device reads
        options = [(key, value) for key, value in _saved_settings() if key.startswith(sections)]
        public = sorted((key, value) for key, value in options if not _is_secret(key))
        if not public:
            return self.name
        return f"{self.name} settings {hashlib.sha256(repr(public).encode()).hexdigest()[:16]}"

    def check(self, shots: int | None) -> None:
        """Check that the device can be created, which is when plugins ask for credentials."""
        self._create_device(1, "asking")

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Return frequencies, or probabilities if no shots are given and the device supports it."""
        self.refuse_calibration(circuits)
        qml = self.library
        wires = range(circuits.qubits)
        measured = qml.probs(wires=wires) if shots is None else qml.counts(wires=wires)
        tapes = [qml.tape.QuantumScript(operations(circuits, row), [measured], shots=shots) for row in circuits.angles]
        device = self._create_device(circuits.qubits, "preparing")
        with self.translate_errors("sending"):
            results = qml.execute(tapes, device, diff_method=None)
            if len(results) != len(tapes):
                raise ValueError(f"{len(results)} results came for {len(tapes)} circuits")
            rows = [_frequencies_of(result, circuits.qubits, shots) for result in results]
        return Frequencies(np.stack(rows), shots)

    def _create_device(self, qubits: int, step: Step) -> Any:
        with self.translate_errors(step):
            return self.library.device(self.target, wires=qubits)


def _frequencies_of(result: Any, qubits: int, shots: int | None) -> np.ndarray:
    """Convert a result of PennyLane, counts or probabilities, to one row of frequencies."""
    if shots is None:
        return np.array(result, dtype=float)
    counts = {str(bits): int(count) for bits, count in result.items()}
    return from_counts(counts, qubits, shots)


def _saved_settings() -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values of PennyLane's configuration file; nothing if PennyLane is not imported."""
    configuration = getattr(sys.modules.get("pennylane"), "default_config", None)
    yield from _flatten(settings_in(configuration))


def _flatten(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values of nested settings."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_secret(key: str) -> bool:
    return names_credential(key.rpartition(".")[2])


def _saved_credentials() -> list[str]:
    """Return the credentials in PennyLane's configuration file."""
    return [str(value) for key, value in _saved_settings() if _is_secret(key)]


def make(name: str, target: str, settings: DeviceSettings) -> Device:
    """Create the device that PennyLane calls `target`."""
    if target in SIMULATORS:
        return PennyLaneSimulator(name, settings)
    return PennyLanePlugin(name)


PROVIDER = Provider(
    make,
    (
        CatalogueEntry("pennylane:default.qubit", "PennyLane's simulator", ("pennylane",)),
        CatalogueEntry(
            "pennylane:DEVICE", "any PennyLane device, through its plugins Braket, IonQ, IBM", ("pennylane",)
        ),
    ),
    credentials=_saved_credentials,
)
