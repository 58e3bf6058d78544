"""Create devices by name: "shots", or "FAMILY:TARGET" as in "qiskit:aer"."""

import importlib
import pkgutil
from contextlib import suppress
from functools import lru_cache

import qweft.devices.providers as folder
from qweft.devices.device import Device, DeviceError, DeviceSettings, RemoteDevice
from qweft.devices.provider import Provider
from qweft.devices.rehearsal import ENTRIES, RehearsalDevice
from qweft.redaction import SAVED

OWN = {
    "exact": "qweft.devices.simulators:ExactDevice",
    "shots": "qweft.devices.simulators:ShotsDevice",
    "noisy": "qweft.devices.noise.device:NoisyDevice",
}
"""Built-in devices: name to class."""

NOISELESS = ("exact", "shots")
"""Built-in devices without noise."""


@lru_cache(maxsize=1)
def families() -> dict[str, Provider]:
    """Return all families by name, sorted by `Provider.order`: the modules of `devices/providers`, and `rehearsal`."""
    names = [module.name for module in pkgutil.iter_modules(folder.__path__)]
    found = {name: importlib.import_module(f"{folder.__name__}.{name}").PROVIDER for name in names}
    found["rehearsal"] = Provider(_rehearsal, ENTRIES, order=4)
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def saved_credentials() -> set[str]:
    """Return the credentials that the packages of all families have saved."""
    found: set[str] = set()
    for provider in families().values():
        with suppress(Exception):  # such as a damaged file of accounts; the message is told all the same
            found.update(provider.credentials())
    return found


SAVED.append(saved_credentials)


def make_device(name: str, settings: DeviceSettings | None = None) -> Device | RemoteDevice:
    """Create the device with this name.

    Args:
        name: "exact", "shots", "noisy", or "pennylane:DEVICE", "qiskit:BACKEND", "origin:CHIP", "rehearsal:DEVICE".
        settings: Settings of the device. `None` means the defaults.

    Raises:
        DeviceError: The device is unknown, a package is missing, or the settings name a noise model that the device
            does not support.
    """
    settings = settings or DeviceSettings()
    family, colon, target = name.partition(":")
    if name in NOISELESS and settings.noise is not None:
        raise DeviceError(f"device {name} takes no noise model, got {settings.noise}; use noisy, or leave noise out")
    if not colon and name in OWN:
        return _load(OWN[name])(name, "", settings)
    there = families()
    if colon and family in there and target:
        return there[family].make(name, target, settings)
    if name.rstrip(":") in there:
        raise DeviceError(f"device {name} names no target; write {family}:NAME")
    families_named = ", ".join(f"{each}:NAME" for each in there)
    raise DeviceError(f"there is no device {name}; there are {', '.join(OWN)}, {families_named}")


def _rehearsal(name: str, target: str, settings: DeviceSettings) -> RehearsalDevice:
    """Create a rehearsal of another device.

    Raises:
        DeviceError: The other device takes jobs itself.
    """
    inner = make_device(target, settings)
    if not isinstance(inner, Device):
        raise DeviceError(f"device {name} rehearses devices that answer at once, and {target} takes jobs itself")
    return RehearsalDevice(name, inner)


def _load(place: str):
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
