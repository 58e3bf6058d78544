"""Zero-noise extrapolation: fold gates, then extrapolate the values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, Runner, require
from qweft.devices.mitigation.estimate import Estimate, Mitigation

ORDERS = {"linear": 1, "quadratic": 2}
EXTRAPOLATIONS = ("richardson", *ORDERS, "exponential")
"""richardson interpolates all points; linear, quadratic: least squares; exponential: log-linear decay to zero."""
SMALL = 1e-6


def folded(circuits: BoundCircuits, factor: int) -> BoundCircuits:
    """Return U (U^dagger U)^k with factor = 1 + 2 k: the same unitary with `factor` times as many gates.

    The inverse of a gate with angle t is the same gate with angle -t. Barriers separate the parts, because a compiler
    would cancel them.
    """
    count = len(circuits.gates)
    gates, angles = circuits.gates, circuits.angles
    backwards = [gates[::-1], gates] * (factor // 2)
    turned = [-angles[:, ::-1], angles] * (factor // 2)
    inside = [place for part in range(factor) for place in _barriers(circuits, part)]
    between = [count * part for part in range(1, factor)]
    return BoundCircuits(
        circuits.qubits,
        gates + tuple(gate for part in backwards for gate in part),
        np.concatenate([angles, *turned], 1),
        tuple(sorted({*inside, *between})),
        factor,
    )


def _compiled_alike(circuits: BoundCircuits, factor: int) -> BoundCircuits:
    """Return the folded circuits, with a barrier before U, also at factor 1.

    A compiler that optimises only circuits without barriers, as Origin's does, would else shorten these alone.
    """
    return folded(replace(circuits, barriers=circuits.barriers or (0,)), factor)


def _barriers(circuits: BoundCircuits, part: int) -> list[int]:
    """Return where the circuits' own barriers go in a part. Every second part runs backwards."""
    count = len(circuits.gates)
    return [part * count + (count - place if part % 2 else place) for place in circuits.barriers]


def check_extrapolation(name: str, factors: Sequence[int]) -> None:
    """Check the extrapolation's name and that it has enough factors."""
    if name not in EXTRAPOLATIONS:
        raise DeviceError(f"there is no extrapolation {name}; there are {', '.join(EXTRAPOLATIONS)}")
    needed = ORDERS.get(name, 1) + 1
    if len(factors) < needed:
        raise DeviceError(
            f"zero-noise extrapolation {name} needs {needed} factors, got {', '.join(map(str, factors)) or 'none'}"
        )
    _noise()


def extrapolate(name: str, factors: Sequence[int], measured: Sequence[Estimate]) -> Estimate:
    """Extrapolate the values to factor zero.

    All extrapolations except the exponential one are linear: z = sum over k of w_k z_k, and var z = sum of w_k^2 var
    z_k. For the exponential one, the weights are first-order finite differences.
    """
    values = np.stack([one.values for one in measured])
    errors = np.stack([one.standard_errors for one in measured])
    points = np.array(factors, dtype=float)
    if name == "exponential":
        found, weights = _exponential(points, values.reshape(len(points), -1))
        weights = weights.reshape(values.shape)
        return Estimate(found.reshape(values.shape[1:]), np.sqrt((weights**2 * errors**2).sum(0)))
    function = _linear_function(name)
    weights = np.array([float(function(points, unit)) for unit in np.eye(len(points))])
    return Estimate(np.tensordot(weights, values, 1), np.sqrt(np.tensordot(weights**2, errors**2, 1)))


def _noise() -> Any:
    """Return PennyLane's module of extrapolations."""
    return require("pennylane", "mitigation", "zero-noise extrapolation").noise


def _linear_function(name: str) -> Callable[[np.ndarray, np.ndarray], Any]:
    noise = _noise()
    return noise.richardson_extrapolate if name == "richardson" else partial(noise.poly_extrapolate, order=ORDERS[name])


def _exponential(points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (values,) extrapolations to zero and (factors, values) derivatives.

    PennyLane takes the sign from the slope and replaces points of the other sign by 1e-6. So a value that changes sign
    has no meaningful fit, and one whose magnitude grows with the noise gives about zero.
    """
    function = _noise().exponential_extrapolate
    found = np.array([float(function(points, column)) for column in values.T])
    weights = np.empty_like(values)
    for place, step in enumerate(SMALL * np.eye(len(points))):
        moved = np.array([float(function(points, column + step)) for column in values.T])
        weights[place] = (moved - found) / SMALL
    return found, weights


class ZeroNoise(Mitigation):
    """Measures every circuit folded by each factor and extrapolates to zero noise. Values may leave -1 to 1."""

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
        """Return all circuits that the inner mitigation runs, for every factor."""
        return [run for factor in self._factors for run in self._inner.runs(_compiled_alike(circuits, factor))]

    def estimate(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Measure each factor and return the extrapolated values."""
        measured = [self._inner.estimate(runner, _compiled_alike(circuits, factor), shots) for factor in self._factors]
        return extrapolate(self._extrapolation, self._factors, measured)
