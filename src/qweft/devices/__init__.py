"""Run circuits elsewhere: shots, noise, other simulators, quantum chips. Depends on `circuit`, not on adapters.

Importing this package imports no module of it, because devices and jobs are listed without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qweft.devices.bound import BoundCircuits
    from qweft.devices.device import (
        Device,
        DeviceError,
        DeviceSettings,
        JobState,
        Limits,
        NotTakenError,
        OutOfBudgetError,
        RefusedError,
        RemoteDevice,
        UnavailableError,
    )
    from qweft.devices.measure import Measurer
    from qweft.devices.outcomes import Frequencies
    from qweft.devices.registry import make_device

__all__ = [
    "BoundCircuits",
    "Device",
    "DeviceError",
    "DeviceSettings",
    "Frequencies",
    "JobState",
    "Limits",
    "Measurer",
    "NotTakenError",
    "OutOfBudgetError",
    "RefusedError",
    "RemoteDevice",
    "UnavailableError",
    "make_device",
]

_HOMES = {"BoundCircuits": "bound", "Frequencies": "outcomes", "Measurer": "measure", "make_device": "registry"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'device')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
