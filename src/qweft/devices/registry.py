"""Create devices by name: "shots", or "FAMILY:TARGET" as in "qiskit:aer"; list them."""

import importlib.util
import pkgutil
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import qweft.devices.providers as folder
from qweft.core.redaction import SAVED
from qweft.devices.device import CatalogueEntry, Device, DeviceError, DeviceSettings, Provider, RemoteDevice
from qweft.devices.simulators import ExactDevice, NoisyDevice, ShotsDevice

BUILT_IN = {
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
    entries = [CatalogueEntry(name, description) for name, (_, description) in BUILT_IN.items()]
    for provider in families().values():
        entries.extend(provider.entries)
    entries.sort(key=lambda entry: bool(entry.packages))
    return [describe_entry(entry) for entry in entries]


def describe_entry(entry: CatalogueEntry) -> dict[str, Any]:
    """Return a row of `qweft devices`: the entry, what of it is missing, and how that is installed."""
    missing = [package for package in entry.packages if importlib.util.find_spec(package) is None]
    extra = entry.name.partition(":")[0] if entry.packages else ""
    install = f"pip install '.[{extra}]'" if missing else ""
    return {**asdict(entry), "extra": extra, "missing": missing, "install": install}


def saved_credentials() -> set[str]:
    """Return the credentials that the packages of all families have saved."""
    credentials: set[str] = set()
    for provider in families().values():
        with suppress(Exception):  # a damaged file of accounts must not hide the message that is being cleaned
            credentials.update(provider.credentials())
    return credentials


SAVED.append(saved_credentials)


def make_device(name: str, settings: DeviceSettings | None = None) -> Device | RemoteDevice:
    """Return the device with this name.

    Args:
        name: "exact", "shots", "noisy", or "pennylane:DEVICE", "qiskit:BACKEND", "origin:CHIP".
        settings: Settings of the device.

    Raises:
        DeviceError: There is no such device, or it takes no noise model.
        QweftError: A package that it needs is not installed.
    """
    settings = settings or DeviceSettings()
    family, _, target = name.partition(":")
    has_noise_settings = settings.noise is not None or settings.noise_scale != 1
    if has_noise_settings and family != "noisy":
        raise DeviceError(f"device {name} takes no noise model; use noisy, or leave noise and noise_scale out")
    if name in BUILT_IN:
        device_class, _ = BUILT_IN[name]
        return device_class(name, settings)
    if family not in families():
        known = [*BUILT_IN, *(f"{known_family}:NAME" for known_family in families())]
        raise DeviceError(f"there is no device {name}; there are {', '.join(known)}")
    if not target:
        raise DeviceError(f"device {name} names no target; write {family}:NAME")
    return families()[family].make(name, target, settings)
