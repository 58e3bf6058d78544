"""What runs circuits."""

from typing import Protocol

from qweft.devices.bound import BoundCircuits
from qweft.devices.frequencies import Frequencies


class Runner(Protocol):
    """A device that answers at once, or an executor in front of one that takes jobs."""

    def run(self, circuits: BoundCircuits, shots: int | None) -> Frequencies:
        """Measure every circuit."""
        ...
