"""What can go wrong with a device."""

from qweft.errors import QweftError


class DeviceError(QweftError):
    """A device cannot do what it was asked for; one sentence with the way out."""


class RefusedError(DeviceError):
    """The provider will not take this: trying again would not help (no credentials, no such chip, a faulty circuit)."""


class UnavailableError(DeviceError):
    """The provider did not answer, or asks to come later: trying again may help."""


class NotTakenError(UnavailableError):
    """The provider did not answer when a job was sent, and certainly did not take it: it may be sent again."""


class OutOfBudgetError(DeviceError):
    """Going on would cost more than the user allowed; nothing further was sent."""
