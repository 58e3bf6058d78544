"""PennyLane's devices: its own simulators, and whatever plugins are installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from qweft.circuit.formats.pennylane import apply_gates
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device
from qweft.devices.errors import DeviceError
from qweft.devices.extras import require
from qweft.devices.settings import DeviceSettings
from qweft.suggest import near

SIMULATORS = {"default.qubit": 1, "default.mixed": 2, "lightning.qubit": 1, "lightning.gpu": 1, "lightning.kokkos": 1}
"""Devices that take many circuits in one call; one of n qubits is 2^(n times this) numbers."""

PLUGINS = {
    "aqt": "pennylane-aqt",
    "braket": "amazon-braket-pennylane-plugin",
    "cirq": "pennylane-cirq",
    "ionq": "pennylane-ionq",
    "iqm": "pennylane-iqm",
    "lightning": "pennylane-lightning",
    "qiskit": "pennylane-qiskit",
    "qrack": "pennylane-qrack",
    "quantinuum": "pennylane-quantinuum",
    "rigetti": "pennylane-rigetti",
}
"""Packages that bring devices along, by the first part of the devices' names."""


def make(name: str, target: str, settings: DeviceSettings) -> Device:
    """The device that PennyLane calls `target`.

    Raises:
        DeviceError: If PennyLane or the device's plugin is not installed, or it takes no noise model and one is named.
    """
    require("pennylane", "pennylane", f"device {name}")
    there = {point.name for point in entry_points(group="pennylane.plugins")}
    if target not in there:
        raise DeviceError(f"PennyLane knows no device {target}{_way_out(target, there)}")
    if settings.noise is not None and target != "default.mixed":
        raise DeviceError(
            f"device {name} takes no noise model, got {settings.noise}; use pennylane:default.mixed, or leave noise out"
        )
    if target in SIMULATORS:
        from qweft.devices.providers.pennylane_simulator import PennyLaneSimulator

        return PennyLaneSimulator(name, target, settings)
    from qweft.devices.providers.pennylane_plugin import PennyLanePlugin

    return PennyLanePlugin(name, target, settings)


def operations(circuits: BoundCircuits, angles: Sequence[Any]) -> list[Any]:
    """The gates as PennyLane's operations.

    Args:
        circuits: Whose gates and barriers.
        angles: For each gate a number, or (circuits,) numbers.
    """
    import pennylane as qml

    with qml.queuing.AnnotatedQueue() as queue:
        apply_gates(circuits.qubits, circuits.gates, angles, circuits.barriers)
    return list(qml.tape.QuantumScript.from_queue(queue).operations)


def _way_out(target: str, there: set[str]) -> str:
    package = PLUGINS.get(target.partition(".")[0])
    if package is not None and not any(name.startswith(target.partition(".")[0] + ".") for name in there):
        return f"; pip install {package} brings it"
    close = near(target, there, most=3) or sorted(there & set(SIMULATORS))
    return f"; there are {', '.join(close)}, and those of plugins that you install"
