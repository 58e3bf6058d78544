"""PennyLane's devices: its own simulators, and installed plugins."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from qweft.circuit.formats import to_pennylane
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import (
    Device,
    DeviceError,
    DeviceSettings,
    Entry,
    Limits,
    Provider,
    RefusedError,
    Step,
    UnavailableError,
    one_line,
    told,
    unknown_places,
)
from qweft.devices.outcomes import Frequencies, from_counts
from qweft.devices.simulators import Simulator
from qweft.errors import require
from qweft.internals.providers import settings_in
from qweft.redaction import names_credential

SIMULATORS = {"default.qubit": 1, "default.mixed": 2, "lightning.qubit": 1, "lightning.gpu": 1, "lightning.kokkos": 1}
"""Devices that take many circuits in one call: name to k, where n qubits take 2^(k n) numbers."""
NUMBERS_AT_A_TIME = 2**22
"""Numbers per batch: 64 MiB in complex128."""
TRANSIENT = ("timed out", "timeout", "temporarily", "connection", "unavailable", "too many requests", "503", "429")


def operations(circuits: BoundCircuits, angles: np.ndarray) -> list[Any]:
    """Convert circuits with angles (..., gates) to PennyLane operations."""
    import pennylane as qml

    with qml.queuing.AnnotatedQueue() as queue:
        to_pennylane(circuits.template(), measured=False, barriers=circuits.barriers)(angles)
    return list(qml.tape.QuantumScript.from_queue(queue).operations)


class PennyLaneSimulator(Simulator):
    """A simulator that runs all circuits as one tape with arrays of angles (parameter broadcasting)."""

    def __init__(self, name: str, target: str, settings: DeviceSettings) -> None:
        super().__init__(name, settings)
        self._library, self._target = require("pennylane", "pennylane", f"device {name}"), target

    def probabilities(self, circuits: BoundCircuits) -> np.ndarray:
        device = self._library.device(self._target, wires=circuits.qubits, config={})
        at_a_time = max(1, NUMBERS_AT_A_TIME >> circuits.qubits * SIMULATORS[self._target])
        chances = np.empty((len(circuits), 2**circuits.qubits))
        for first in range(0, len(circuits), at_a_time):
            some = slice(first, first + at_a_time)
            measured = [self._library.probs(wires=range(circuits.qubits))]
            tape = self._library.tape.QuantumScript(operations(circuits, circuits.angles[some]), measured)
            (chances[some],) = self._library.execute([tape], device, diff_method=None)
        return chances


def sort(error: Exception, step: Step) -> type[DeviceError]:
    """Return what an exception of a plugin means."""
    is_transient = isinstance(error, ConnectionError | TimeoutError)
    is_transient |= any(word in one_line(error).lower() for word in TRANSIENT)
    return UnavailableError if is_transient else RefusedError


class PennyLanePlugin(Device):
    """A device of a plugin, with the options and credentials of PennyLane's configuration file or the environment.

    It blocks, and a job is lost if the process ends. So it gets few circuits per call, whose results are then stored.
    """

    limits = Limits(circuits=10)

    def __init__(self, name: str, target: str) -> None:
        super().__init__(name)
        self._library, self._target = require("pennylane", "pennylane", f"device {name}"), target

    def identity(self) -> str:
        """Return the name, and a hash of the device's settings in PennyLane's file, which may select the chip."""
        vendor = self._target.partition(".")[0]
        read = tuple(f"{section}." for section in ("main", f"{vendor}.global", self._target))
        options = [(key, value) for key, value in _settings() if key.startswith(read) and not _is_secret(key)]
        if not options:
            return self.name
        return f"{self.name} settings {hashlib.sha256(repr(sorted(options)).encode()).hexdigest()[:16]}"

    def check(self, shots: int | None) -> None:
        """Check that the device can be created, which is when plugins ask for credentials."""
        self._device(1, "asking")

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Return frequencies, or probabilities if no shots are given and the device supports it."""
        if circuits.placed_like is not None:
            raise unknown_places(self.name)
        qml, wires = self._library, range(circuits.qubits)
        measured = qml.probs(wires=wires) if shots is None else qml.counts(wires=wires)
        tapes = [qml.tape.QuantumScript(operations(circuits, row), [measured], shots=shots) for row in circuits.angles]
        if not tapes:
            return Frequencies(np.zeros((0, 2**circuits.qubits)), shots)
        device = self._device(circuits.qubits, "preparing")
        with told(self.name, sort, "sending"):
            results = qml.execute(tapes, device, diff_method=None)
        try:
            rows = [_row(result, circuits.qubits, shots) for _, result in zip(tapes, results, strict=True)]
        except (TypeError, ValueError) as error:
            raise RefusedError(f"device {self.name} gave results that do not fit: {one_line(error)}") from None
        return Frequencies(np.stack(rows), shots)

    def _device(self, qubits: int, step: Step) -> Any:
        with told(self.name, sort, step):
            return self._library.device(self._target, wires=qubits)


def _row(result: Any, qubits: int, shots: int | None) -> np.ndarray:
    if shots is not None:
        return from_counts({str(bits): int(count) for bits, count in result.items()}, qubits, shots)
    return np.array(result, dtype=float)


def _settings(held: dict[str, Any] | None = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values of PennyLane's configuration file; nothing if PennyLane is not imported."""
    if held is None:
        held = settings_in(getattr(sys.modules.get("pennylane"), "default_config", None))
    for name, value in held.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_secret(key: str) -> bool:
    return names_credential(key.rpartition(".")[2])


def make(name: str, target: str, settings: DeviceSettings) -> Device:
    """Create the device that PennyLane calls `target`."""
    return PennyLaneSimulator(name, target, settings) if target in SIMULATORS else PennyLanePlugin(name, target)


PROVIDER = Provider(
    make,
    (
        Entry("pennylane:default.qubit", "PennyLane's simulator", ("pennylane",), "pennylane"),
        Entry(
            "pennylane:DEVICE",
            "any PennyLane device, through its plugins Braket, IonQ, IBM",
            ("pennylane",),
            "pennylane",
        ),
    ),
    credentials=lambda: [str(value) for key, value in _settings() if _is_secret(key)],
    limits=PennyLanePlugin.limits,
)
