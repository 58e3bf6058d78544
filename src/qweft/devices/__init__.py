"""Run circuits elsewhere: shots, noise, other simulators, quantum chips. Depends on `circuit`, not on adapters."""

from typing import TYPE_CHECKING, Any

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
from qweft.devices.outcomes import Frequencies
from qweft.devices.registry import make_device

if TYPE_CHECKING:
    from qweft.devices.measure import Measurer

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


def __getattr__(name: str) -> Any:
    if name == "Measurer":  # devices and jobs are listed without PyTorch
        from qweft.devices.measure import Measurer

        return Measurer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
