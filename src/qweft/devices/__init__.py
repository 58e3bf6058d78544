"""Run circuits elsewhere: shots, noise, other simulators, quantum chips. Depends on `circuit`, not on adapters."""

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
