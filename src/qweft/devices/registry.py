"""Devices by name: "shots", or "FAMILY:TARGET" as in "qiskit:aer"."""

import importlib
import pkgutil
from functools import lru_cache

import qweft.devices.providers as folder
from qweft.devices.device import Device, DeviceError, DeviceSettings, RemoteDevice
from qweft.devices.provider import Provider
from qweft.devices.rehearsal import ENTRIES, RehearsalDevice
from qweft.text import near

OWN = {
    "exact": "qweft.devices.simulators:ExactDevice",
    "shots": "qweft.devices.simulators:ShotsDevice",
    "noisy": "qweft.devices.noise.device:NoisyDevice",
}
"""Devices of this package: name to class."""

NOISELESS = ("exact", "shots")
"""Those of them that have no noise."""


@lru_cache(maxsize=1)
def families() -> dict[str, Provider]:
    """Families by name: the modules of `devices/providers`, by their `Provider.order`, and the rehearsal."""
    names = [module.name for module in pkgutil.iter_modules(folder.__path__)]
    found = {name: importlib.import_module(f"{folder.__name__}.{name}").PROVIDER for name in names}
    found["rehearsal"] = Provider(_rehearsal, ENTRIES, order=4)
    return dict(sorted(found.items(), key=lambda item: item[1].order))


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
    there = families()
    if colon and family in there and target:
        return there[family].make(name, target, settings)
    if name.rstrip(":") in there:
        raise DeviceError(f"device {name} names no target; write {family}:NAME")
    close = near(family, [*OWN, *there])
    raise DeviceError(
        f"there is no device {name}; "
        + (
            f"did you mean {close[0]}{':' + (target or 'NAME') if close[0] in there else ''}?"
            if close
            else f"there are {', '.join(OWN)}, and {', '.join(f'{family}:NAME' for family in there)}"
        )
    )


def _rehearsal(name: str, target: str, settings: DeviceSettings) -> RehearsalDevice:
    """The device that rehearses another.

    Raises:
        DeviceError: If the other one does not answer at once.
    """
    inner = make_device(target, settings)
    if not isinstance(inner, Device):
        raise DeviceError(f"device {name} rehearses devices that answer at once, and {target} takes jobs itself")
    return RehearsalDevice(name, inner)


def _load(place: str):  # type: ignore[no-untyped-def]
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
