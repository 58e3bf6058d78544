"""Qiskit's devices: Aer, Aer with a real chip's noise, and IBM's chips."""

from __future__ import annotations

import warnings
from typing import Any

from qweft.devices.device import Device, DeviceError, DeviceSettings, Entry, Provider, RemoteDevice
from qweft.devices.providers.qiskit.ibm import IBMDevice, saved_tokens
from qweft.devices.providers.qiskit.simulators import AerSimulatorDevice, FakeBackendDevice
from qweft.errors import require
from qweft.text import near


def fake_backends(what: str) -> dict[str, Any]:
    """Return the snapshots of chips in IBM's package, by name."""
    fakes = require("qiskit_ibm_runtime.fake_provider", "qiskit", what)
    with warnings.catch_warnings(action="ignore"):  # one backend emits a warning when it is created
        return {backend.name: backend for backend in fakes.FakeProviderForBackendV2().backends()}


def make(name: str, target: str, settings: DeviceSettings) -> Device | RemoteDevice:
    """Create the device `target`: "aer", "fake_NAME" or "ibm_NAME"."""
    if target == "aer":
        return AerSimulatorDevice(name, settings)
    if target.startswith("ibm_"):
        return IBMDevice(name, target)
    backends = fake_backends(f"device {name}")
    if target not in backends:
        close = near(target, backends, most=3) or ["fake_torino"]
        raise DeviceError(f"there is no device {name}; there are qiskit:aer, ibm_NAME, and {', '.join(close)}")
    return FakeBackendDevice(name, backends[target], settings)


PROVIDER = Provider(
    make,
    (
        Entry("qiskit:aer", "Qiskit Aer", ("qiskit", "qiskit_aer"), "qiskit"),
        Entry("qiskit:fake_NAME", "Aer with the noise of an IBM chip", ("qiskit_aer", "qiskit_ibm_runtime"), "qiskit"),
        Entry("qiskit:ibm_NAME", "IBM's chips; takes jobs", ("qiskit", "qiskit_ibm_runtime"), "qiskit"),
    ),
    credentials=saved_tokens,
    limits=IBMDevice.limits,
)
