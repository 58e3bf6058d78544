"""Create devices by name: "shots", or "FAMILY:TARGET" as in "qiskit:aer"; list them."""

import importlib.util
import pkgutil
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import qweft.devices.providers as folder
from qweft.core.redaction import SAVED
from qweft.devices.device import Device, DeviceError, DeviceSettings, Entry, Provider, RemoteDevice
from qweft.devices.simulators import ExactDevice, NoisyDevice, ShotsDevice

OWN = {
    "exact": (ExactDevice, "probabilities from the state vector"),
    "shots": (ShotsDevice, "counts drawn from the exact probabilities"),
    "noisy": (NoisyDevice, "counts or probabilities under a noise model"),
}
"""Built-in devices: name to class and description."""


@lru_cache(maxsize=1)
def families() -> dict[str, Provider]:
    """Return all families by name: the modules of `devices/providers`."""
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    return {name: importlib.import_module(f"{folder.__name__}.{name}").PROVIDER for name in names}


def catalogue() -> list[dict[str, Any]]:
    """Return the rows of `qweft devices`, those without required packages first."""
    own = [Entry(name, what) for name, (_, what) in OWN.items()]
    entries = [*own, *(entry for provider in families().values() for entry in provider.entries)]
    rows = []
    for entry in sorted(entries, key=lambda entry: bool(entry.packages)):
        missing = [package for package in entry.packages if importlib.util.find_spec(package) is None]
        extra = entry.name.partition(":")[0] if entry.packages else ""
        install = f"pip install '.[{extra}]'" if missing else ""
        found = {"extra": extra, "missing": missing, "install": install}
        rows.append(asdict(entry) | found)
    return rows


def saved_credentials() -> set[str]:
    """Return the credentials that the packages of all families have saved."""
    credentials: set[str] = set()
    for provider in families().values():
        with suppress(Exception):  # such as a damaged file of accounts; the message is told all the same
            credentials.update(provider.credentials())
    return credentials


SAVED.append(saved_credentials)


def make_device(name: str, settings: DeviceSettings | None = None) -> Device | RemoteDevice:
    """Return the device with this name.

    Args:
        name: "exact", "shots", "noisy", or "pennylane:DEVICE", "qiskit:BACKEND", "origin:CHIP".
        settings: Settings of the device.
    """
    settings = settings or DeviceSettings()
    family, _, target = name.partition(":")
    if family != "noisy" and (settings.noise is not None or settings.noise_scale != 1):
        raise DeviceError(f"device {name} takes no noise model; use noisy, or leave noise and noise_scale out")
    if name in OWN:
        return OWN[name][0](name, settings)
    if family not in families():
        raise DeviceError(
            f"there is no device {name}; there are {', '.join([*OWN, *(f'{each}:NAME' for each in families())])}"
        )
    if not target:
        raise DeviceError(f"device {name} names no target; write {family}:NAME")
    return families()[family].make(name, target, settings)
