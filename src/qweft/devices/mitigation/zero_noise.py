"""Zero-noise extrapolation: measured with more noise on purpose, extrapolated to none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.errors import DeviceError
from qweft.devices.mitigation.estimate import Estimate, Mitigation
from qweft.devices.mitigation.extrapolation import check_extrapolation, extrapolate
from qweft.devices.mitigation.folding import folded
from qweft.devices.runner import Runner


class ZeroNoise:
    """Every circuit is measured folded by each factor.

    Args:
        factors: Odd numbers of at least 1, each once; a circuit has so many times its gates.
        extrapolation: One of `EXTRAPOLATIONS`.
        inner: What is done to each measurement first.

    Raises:
        DeviceError: If the factors are none, or the extrapolation is none or needs more factors.
    """

    def __init__(self, factors: Sequence[int], extrapolation: str, inner: Mitigation) -> None:
        said = ", ".join(map(str, factors)) or "none"
        if any(factor < 1 or factor % 2 == 0 for factor in factors) or len(set(factors)) < len(factors):
            raise DeviceError(
                f"zero-noise extrapolation takes different odd factors of at least 1, such as 1, 3, 5; got {said}"
            )
        check_extrapolation(extrapolation, factors)
        self._factors = tuple(factors)
        self._extrapolation = extrapolation
        self._inner = inner

    def runs(self, circuits: BoundCircuits) -> list[BoundCircuits]:
        """What each factor needs."""
        return [run for factor in self._factors for run in self._inner.runs(folded(circuits, factor))]

    def expectations(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> np.ndarray:
        """(circuits, n); not confined to -1 to 1."""
        return self.estimate(runner, circuits, shots).values

    def estimate(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """The extrapolated values, each factor measured by itself."""
        measured = [self._inner.estimate(runner, folded(circuits, factor), shots) for factor in self._factors]
        return extrapolate(self._extrapolation, self._factors, measured)
