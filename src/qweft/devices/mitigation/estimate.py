"""Expectation values with their standard errors, as one mitigation hands them to the next."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Runner


@dataclass(frozen=True, eq=False)
class Estimate:
    """Expectation values of Z, and how far chance may have moved them.

    Args:
        values: (circuits, n).
        standard_errors: (circuits, n), from the shots alone, to first order; zero without shots. What a mitigation
            leaves of the device's errors is not in them.
    """

    values: np.ndarray
    standard_errors: np.ndarray


class Mitigation(Protocol):
    """A way from circuits to expectation values, which may run other circuits too and compute on what was measured."""

    def estimate(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Run what it needs, and compute."""
        ...

    def runs(self, circuits: BoundCircuits) -> list[BoundCircuits]:
        """All that it will ask a runner for, so that it can be counted before."""
        ...

    def expectations(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> np.ndarray:
        """(circuits, n): the values alone."""
        ...


class AsMeasured:
    """No mitigation."""

    def estimate(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """What was measured."""
        frequencies = runner.run(circuits, shots)
        return Estimate(frequencies.expectations(), frequencies.standard_errors())

    def runs(self, circuits: BoundCircuits) -> list[BoundCircuits]:
        """The circuits."""
        return [circuits]

    def expectations(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> np.ndarray:
        """(circuits, n)."""
        return self.estimate(runner, circuits, shots).values
