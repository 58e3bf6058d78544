"""The same circuit elsewhere: shots, noise, other simulators, quantum chips. Knows `circuit`, and no adapters."""

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Device, JobState, Limits, RemoteDevice
from qweft.devices.errors import DeviceError, NotTakenError, OutOfBudgetError, RefusedError, UnavailableError
from qweft.devices.frequencies import Frequencies
from qweft.devices.measure import Measurer
from qweft.devices.registry import make_device
from qweft.devices.settings import DeviceSettings

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
