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
    Device,
    DeviceSettings,
    Entry,
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
        device = self.library.device(self.target, wires=circuits.qubits, config={})
        measured = [self.library.probs(wires=range(circuits.qubits))]
        tape = self.library.tape.QuantumScript(operations(circuits, circuits.angles), measured)
        (chances,) = self.library.execute([tape], device, diff_method=None)
        return np.asarray(chances)

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
        ("", RefusedError),
    )

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.may_bill = not self.target.startswith(LOCAL)

    def identity(self) -> str:
        """Return the name, and a hash of the device's settings in PennyLane's file, which may select the chip."""
        vendor = self.target.partition(".")[0]
        read = tuple(f"{section}." for section in ("main", f"{vendor}.global", self.target))
        options = [(key, value) for key, value in _settings() if key.startswith(read) and not _is_secret(key)]
        if not options:
            return self.name
        return f"{self.name} settings {hashlib.sha256(repr(sorted(options)).encode()).hexdigest()[:16]}"

    def check(self, shots: int | None) -> None:
        """Check that the device can be created, which is when plugins ask for credentials."""
        self._device(1, "asking")

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Return frequencies, or probabilities if no shots are given and the device supports it."""
        self.refuse_calibration(circuits)
        qml, wires = self.library, range(circuits.qubits)
        measured = qml.probs(wires=wires) if shots is None else qml.counts(wires=wires)
        tapes = [qml.tape.QuantumScript(operations(circuits, row), [measured], shots=shots) for row in circuits.angles]
        device = self._device(circuits.qubits, "preparing")
        with self.told("sending"):
            results = qml.execute(tapes, device, diff_method=None)
            rows = [_row(result, circuits.qubits, shots) for _, result in zip(tapes, results, strict=True)]
        return Frequencies(np.stack(rows), shots)

    def _device(self, qubits: int, step: Step) -> Any:
        with self.told(step):
            return self.library.device(self.target, wires=qubits)


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
    return PennyLaneSimulator(name, settings) if target in SIMULATORS else PennyLanePlugin(name)


PROVIDER = Provider(
    make,
    (
        Entry("pennylane:default.qubit", "PennyLane's simulator", ("pennylane",)),
        Entry("pennylane:DEVICE", "any PennyLane device, through its plugins Braket, IonQ, IBM", ("pennylane",)),
    ),
    credentials=lambda: [str(value) for key, value in _settings() if _is_secret(key)],
)
