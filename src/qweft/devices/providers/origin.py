"""Origin Quantum's devices by pyqpanda3: the simulator on this machine, and those of its cloud."""

from __future__ import annotations

from qweft.devices.device import Device, RemoteDevice
from qweft.devices.errors import DeviceError
from qweft.devices.settings import DeviceSettings

SIMULATORS = ("single_amplitude", "partial_amplitude")
"""Simulators of the cloud that give amplitudes and no counts."""


def make(name: str, target: str, settings: DeviceSettings) -> Device | RemoteDevice:
    """The device `target`: "cpu", "full_amplitude", or a chip such as "WK_C180".

    Raises:
        DeviceError: If pyqpanda3 is not installed, or a noise model is named for a chip.
    """
    if target == "cpu":
        from qweft.devices.providers.origin_cpu import OriginCPUDevice

        return OriginCPUDevice(name, settings)
    if target in SIMULATORS:
        raise DeviceError(f"device {name} gives amplitudes and no counts; use origin:full_amplitude or origin:cpu")
    if settings.noise is not None:
        raise DeviceError(
            f"device {name} takes no noise model, got {settings.noise}; use origin:cpu, or leave noise out"
        )
    from qweft.devices.providers.origin_cloud import OriginCloudDevice

    return OriginCloudDevice(name, target)
