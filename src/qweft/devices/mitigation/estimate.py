"""Expectation values with standard errors, and the protocol of a mitigation."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import Runner


@dataclass(frozen=True, eq=False)
class Estimate:
    """Expectation values of Z with their standard errors."""

    values: np.ndarray
    standard_errors: np.ndarray


class Mitigation(ABC):
    """Estimates expectation values of circuits. It may run further circuits and process the results."""

    @abstractmethod
    def estimate(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Run all required circuits and compute the expectation values."""

    @abstractmethod
    def runs(self, circuits: BoundCircuits) -> list[BoundCircuits]:
        """Return all circuits that `estimate` will run, so that they can be counted beforehand."""

    def expectations(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> np.ndarray:
        """Return the values alone, shape (circuits, n)."""
        return self.estimate(runner, circuits, shots).values


class AsMeasured(Mitigation):
    """No mitigation."""

    def estimate(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Return the values as measured."""
        frequencies = runner.run(circuits, shots)
        return Estimate(frequencies.expectations(), frequencies.standard_errors())

    def runs(self, circuits: BoundCircuits) -> list[BoundCircuits]:
        """Return the circuits themselves."""
        return [circuits]
