"""Qiskit's devices: Aer, Aer with a real chip's noise, and IBM's chips."""

from __future__ import annotations

import warnings
from typing import Any

from qweft.core.errors import require
from qweft.devices.device import CatalogueEntry, Device, DeviceError, DeviceSettings, Provider, RemoteDevice
from qweft.devices.providers.qiskit.ibm import IBMDevice, saved_tokens
from qweft.devices.providers.qiskit.simulators import AerSimulatorDevice, FakeBackendDevice


def fake_backend(name: str) -> Any:
    """Return the snapshot of a chip, "qiskit:fake_NAME", in IBM's package."""
    fakes = require("qiskit_ibm_runtime.fake_provider", "qiskit", f"device {name}")
    with warnings.catch_warnings(action="ignore"):  # one backend emits a warning when it is created
        known = {f"qiskit:{backend.name}": backend for backend in fakes.FakeProviderForBackendV2().backends()}
    if name not in known:
        raise DeviceError(f"there is no device {name}; there are {', '.join(known)}, qiskit:aer and qiskit:ibm_NAME")
    return known[name]


def make(name: str, target: str, settings: DeviceSettings) -> Device | RemoteDevice:
    """Create the device `target`: "aer", "fake_NAME" or "ibm_NAME"."""
    if target == "aer":
        return AerSimulatorDevice(name, settings)
    if target.startswith("ibm_"):
        return IBMDevice(name)
    return FakeBackendDevice(name, fake_backend(name), settings)


PROVIDER = Provider(
    make,
    (
        CatalogueEntry("qiskit:aer", "Qiskit Aer", ("qiskit", "qiskit_aer")),
        CatalogueEntry("qiskit:fake_NAME", "Aer with the noise of an IBM chip", ("qiskit_aer", "qiskit_ibm_runtime")),
        CatalogueEntry("qiskit:ibm_NAME", "IBM's chips; takes jobs", ("qiskit", "qiskit_ibm_runtime")),
    ),
    credentials=saved_tokens,
)
