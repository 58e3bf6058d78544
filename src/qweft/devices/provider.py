"""What a family of devices declares: a module of `providers`, named as the family, holds a `Provider` as PROVIDER."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qweft.devices.device import Device, DeviceSettings, RemoteDevice


@dataclass(frozen=True)
class Entry:
    """A device, or a family of devices with one price.

    Args:
        name: As it is typed; capitals stand for what is to be filled in.
        what: What it does.
        packages: Packages that it needs.
        extra: Our extra that installs them; empty where nothing is needed.
    """

    name: str
    what: str
    packages: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(package for package in self.packages if importlib.util.find_spec(package) is None)

    @property
    def install(self) -> str:
        """How what is missing is installed; empty where nothing is."""
        return f"pip install 'qweft[{self.extra}]'" if self.missing else ""


@dataclass(frozen=True)
class Provider:
    """A family of devices, named "FAMILY:TARGET".

    Args:
        make: From (name as the user gave it, target, settings) to the device; raises `DeviceError`. Imports the
            packages that the family needs: the module itself is imported for every list of devices.
        entries: Its lines of `qweft devices`.
        prices: What `jobs/prices.yaml` does not say of them; each in the form of an entry of that file.
        order: Of families in lists, the lowest first.
    """

    make: Callable[[str, str, DeviceSettings], Device | RemoteDevice]
    entries: tuple[Entry, ...] = ()
    prices: tuple[dict[str, Any], ...] = ()
    order: int = 100
