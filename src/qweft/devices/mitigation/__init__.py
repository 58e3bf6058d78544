"""Less error from what a device measures: errors in reading out taken back, and noise extrapolated to zero."""

from qweft.devices.mitigation.make import make_mitigation

__all__ = ["make_mitigation"]
