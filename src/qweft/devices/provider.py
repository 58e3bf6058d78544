"""The declaration of a device family. Each module of `providers`, named as its family, defines `PROVIDER`."""

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from qweft.devices.device import Device, DeviceSettings, Limits, RemoteDevice


@dataclass(frozen=True)
class Entry:
    """A device, or a group of devices with one price.

    Args:
        name: As the user types it. Capitals mark what the user fills in.
        what: Short description.
        packages: Required packages.
        extra: The extra of Qweft that installs them. Empty if nothing is required.
    """

    name: str
    what: str
    packages: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Required packages that are not installed."""
        return tuple(package for package in self.packages if importlib.util.find_spec(package) is None)

    @property
    def install(self) -> str:
        """Command that installs the missing packages. Empty if none is missing."""
        return f"pip install '.[{self.extra}]'" if self.missing else ""


@dataclass(frozen=True)
class Provider:
    """A family of devices, named "FAMILY:TARGET".

    Args:
        make: Creates a device from (name as the user gave it, target, settings); raises `DeviceError`. It has to import
            the family's packages itself, because every list of devices imports the module.
        entries: The family's rows in `qweft devices`.
        prices: Prices that `jobs/prices.yaml` lacks, each in the form of an entry of that file.
        credentials: Returns the credentials that the family's packages have saved, which no message may show. It is
            cheap and imports nothing, because every message asks for them. What it raises counts as no credential.
        limits: Limits of the family's chips, by which `qweft plan --chips` counts jobs without making a device.
    """

    make: Callable[[str, str, DeviceSettings], Device | RemoteDevice]
    entries: tuple[Entry, ...] = ()
    prices: tuple[dict[str, Any], ...] = ()
    credentials: Callable[[], Iterable[str]] = tuple
    limits: Limits = field(default_factory=Limits)
