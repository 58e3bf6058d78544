"""What a device is told beside its name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceSettings:
    """How a device is to work; a device takes of it what concerns it.

    Args:
        seed: Of simulated shots.
        noise: Name of a noise model, or path of its YAML file; none means the device's own.
        noise_scale: Every probability of error of the noise model times this.
    """

    seed: int = 0
    noise: str | None = None
    noise_scale: float = 1.0
