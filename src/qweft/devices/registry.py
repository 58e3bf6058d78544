"""Devices by name: "shots", or "FAMILY:TARGET" as in "qiskit:aer"."""

import importlib

from qweft.devices.device import Device, RemoteDevice
from qweft.devices.errors import DeviceError
from qweft.devices.settings import DeviceSettings
from qweft.suggest import near

OWN = {
    "exact": "qweft.devices.simulators:ExactDevice",
    "shots": "qweft.devices.simulators:ShotsDevice",
    "noisy": "qweft.devices.noise.device:NoisyDevice",
}
"""Devices of this package: name to class."""

NOISELESS = ("exact", "shots")
"""Those of them that have no noise."""

FAMILIES = {
    "pennylane": "qweft.devices.providers.pennylane:make",
    "qiskit": "qweft.devices.providers.qiskit:make",
    "origin": "qweft.devices.providers.origin:make",
    "rehearsal": "qweft.devices.rehearsal:make",
}
"""Families, most of them of other packages: the function makes a device of (name, target, settings)."""


def make_device(name: str, settings: DeviceSettings | None = None) -> Device | RemoteDevice:
    """The device of that name.

    Args:
        name: "exact", "shots", "noisy", or "pennylane:DEVICE", "qiskit:BACKEND", "origin:CHIP",
            "rehearsal:DEVICE".
        settings: What it is told; the defaults where none.

    Raises:
        DeviceError: If there is no such device, the package it needs is not installed, or it takes no noise model and
            one is named.
    """
    settings = settings or DeviceSettings()
    family, colon, target = name.partition(":")
    if name in NOISELESS and settings.noise is not None:
        raise DeviceError(f"device {name} takes no noise model, got {settings.noise}; use noisy, or leave noise out")
    if not colon and name in OWN:
        return _load(OWN[name])(name, "", settings)  # type: ignore[no-any-return]
    if colon and family in FAMILIES and target:
        return _load(FAMILIES[family])(name, target, settings)  # type: ignore[no-any-return]
    if name.rstrip(":") in FAMILIES:
        raise DeviceError(f"device {name} names no target; write {family}:NAME")
    close = near(family, [*OWN, *FAMILIES])
    raise DeviceError(
        f"there is no device {name}; "
        + (
            f"did you mean {close[0]}{':' + (target or 'NAME') if close[0] in FAMILIES else ''}?"
            if close
            else f"there are {', '.join(OWN)}, and {', '.join(f'{family}:NAME' for family in FAMILIES)}"
        )
    )


def _load(place: str):  # type: ignore[no-untyped-def]
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
