"""Packages that only some devices need, imported where they are used."""

from typing import Any

from qweft import extras
from qweft.devices.errors import DeviceError
from qweft.errors import QweftError


def require(module: str, extra: str, what: str) -> Any:
    """As `qweft.extras.require`.

    Raises:
        DeviceError: If the module is not installed, or does not load.
    """
    try:
        return extras.require(module, extra, what)
    except QweftError as error:
        raise DeviceError(str(error)) from error
