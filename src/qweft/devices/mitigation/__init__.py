"""Error mitigation by name: readout mitigation and zero-noise extrapolation."""

from typing import get_args

from qweft.devices.device import DeviceError
from qweft.devices.mitigation.estimate import AsMeasured, Mitigation
from qweft.devices.mitigation.readout import Method, ReadoutMitigation
from qweft.devices.mitigation.zero_noise import ZeroNoise


def make_mitigation(
    readout: str | None = None, zne: tuple[int, ...] | None = None, extrapolation: str = "richardson"
) -> Mitigation:
    """Create a mitigation. Readout errors are corrected first, then the noise is extrapolated to zero.

    Args:
        readout: "inverse" or "m3". `None` leaves readout errors uncorrected.
        zne: Folding factors for zero-noise extrapolation, such as (1, 3, 5). `None` leaves gate noise uncorrected.
        extrapolation: "richardson", "linear", "quadratic" or "exponential".

    Raises:
        DeviceError: An argument is invalid, or a required package is not installed.
    """
    if readout is not None and readout not in get_args(Method):
        raise DeviceError(f"there is no readout mitigation {readout}; there are {' and '.join(get_args(Method))}")
    inner = AsMeasured() if readout is None else ReadoutMitigation(readout)  # type: ignore[arg-type]
    return inner if zne is None else ZeroNoise(zne, extrapolation, inner)


__all__ = ["make_mitigation"]
