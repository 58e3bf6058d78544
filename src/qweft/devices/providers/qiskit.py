"""Qiskit's devices: Aer, Aer with the noise of a real chip's calibration, and IBM's chips."""

from __future__ import annotations

import difflib
import warnings
from typing import Any

from qweft.devices.device import Device, RemoteDevice
from qweft.devices.errors import DeviceError
from qweft.devices.extras import require
from qweft.devices.settings import DeviceSettings


def make(name: str, target: str, settings: DeviceSettings) -> Device | RemoteDevice:
    """The device `target`: "aer", "fake_NAME" or "ibm_NAME".

    Raises:
        DeviceError: If a package is not installed, there is no such fake backend, or a noise model is named for a
            device that has its own.
    """
    if target == "aer":
        from qweft.devices.providers.qiskit_aer import AerSimulatorDevice

        return AerSimulatorDevice(name, settings)
    if target.startswith(("fake_", "ibm_")) and settings.noise is not None:
        raise DeviceError(
            f"device {name} has noise of its own, got noise {settings.noise}; use qiskit:aer, or leave noise out"
        )
    if target.startswith("ibm_"):
        from qweft.devices.providers.qiskit_ibm import IBMDevice

        return IBMDevice(name, target)
    backend = fake_backend(target, f"device {name}")
    from qweft.devices.providers.qiskit_fake import FakeBackendDevice

    return FakeBackendDevice(name, backend, settings)


def fake_backend(target: str, what: str) -> Any:
    """The record of a chip of that name.

    Args:
        target: "fake_NAME", as `qiskit_ibm_runtime.fake_provider` names it.
        what: Begins the sentence where the package is missing, and names what is not there: "device qiskit:fake_x".

    Raises:
        DeviceError: If the package is not installed, or there is no such backend.
    """
    fakes = require("qiskit_ibm_runtime.fake_provider", "qiskit", what)
    with warnings.catch_warnings(action="ignore"):  # one of the sixty warns of itself when the list is made
        backends = {backend.name: backend for backend in fakes.FakeProviderForBackendV2().backends()}
    if target not in backends:
        near = difflib.get_close_matches(target, ["aer", *backends], n=3)
        raise DeviceError(
            f"there is no {what}; "
            + (
                f"near it are {', '.join(near)}"
                if near
                else "there are aer, fake_NAME such as fake_torino, and ibm_NAME"
            )
        )
    return backends[target]
