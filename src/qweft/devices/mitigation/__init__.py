"""Error mitigation by name: readout errors inverted, noise extrapolated to zero."""

from typing import get_args

from qweft.devices.device import DeviceError
from qweft.devices.mitigation.estimate import AsMeasured
from qweft.devices.mitigation.readout import Method, ReadoutMitigation
from qweft.devices.mitigation.zero_noise import ZeroNoise


def make_mitigation(
    readout: str | None = None, zne: tuple[int, ...] | None = None, extrapolation: str = "richardson"
) -> AsMeasured | ReadoutMitigation | ZeroNoise:
    """What is to be done about errors; readout comes first, then zero-noise extrapolation.

    Args:
        readout: "inverse" or "m3"; none leaves errors in reading out in.
        zne: Factors of folding, such as (1, 3, 5); none leaves the noise of gates in.
        extrapolation: "richardson", "linear", "quadratic" or "exponential".

    Raises:
        DeviceError: If there is no such part, or the package it needs is not installed.
    """
    if readout is not None and readout not in get_args(Method):
        raise DeviceError(f"there is no readout mitigation {readout}; there are {' and '.join(get_args(Method))}")
    inner = AsMeasured() if readout is None else ReadoutMitigation(readout)  # type: ignore[arg-type]
    return inner if zne is None else ZeroNoise(zne, extrapolation, inner)


__all__ = ["make_mitigation"]
