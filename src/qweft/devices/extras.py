"""Packages that only some devices need, imported where they are used."""

from typing import Any

from qweft import extras
from qweft.devices.errors import DeviceError
from qweft.errors import QweftError


def require(module: str, extra: str, what: str) -> Any:
    """The module, imported.

    Args:
        module: Dotted name.
        extra: Our extra that installs it.
        what: Begins the sentence where it is missing: "device qiskit:aer".

    Raises:
        DeviceError: If it is not installed, or does not load.
    """
    try:
        return extras.require(module, extra, what)
    except QweftError as error:
        raise DeviceError(str(error)) from error
