"""Zero-noise extrapolation: gates folded, values extrapolated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, Runner, require
from qweft.devices.mitigation.estimate import Estimate, Mitigation


def folded(circuits: BoundCircuits, factor: int) -> BoundCircuits:
    """U (U^dagger U)^k with factor = 1 + 2 k: the same unitary, with so many times the gates.

    The inverse of RY(t) and CRZ(t) is the gate with -t. Barriers stand between the parts, or a compiler would take them
    out.

    Args:
        circuits: U.
        factor: Odd, at least 1.
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
    )


def _barriers(circuits: BoundCircuits, part: int) -> list[int]:
    """Where the circuits' own barriers come to stand in a part; every other one runs backwards."""
    count = len(circuits.gates)
    return [part * count + (count - place if part % 2 else place) for place in circuits.barriers]


ORDERS = {"linear": 1, "quadratic": 2}
EXTRAPOLATIONS = ("richardson", *ORDERS, "exponential")
"""Richardson: the polynomial through all points. Linear, quadratic: least squares. Exponential: to zero, a line through
the logarithms."""
SMALL = 1e-6


def check_extrapolation(name: str, factors: Sequence[int]) -> None:
    """See that there is one of that name, and enough factors for it.

    Raises:
        DeviceError: If not, or PennyLane is missing.
    """
    if name not in EXTRAPOLATIONS:
        raise DeviceError(f"there is no extrapolation {name}; there are {', '.join(EXTRAPOLATIONS)}")
    needed = ORDERS.get(name, 1) + 1
    if len(factors) < needed:
        raise DeviceError(
            f"zero-noise extrapolation {name} needs {needed} factors, got {', '.join(map(str, factors)) or 'none'}"
        )
    require("pennylane", "mitigation", "zero-noise extrapolation")


def extrapolate(name: str, factors: Sequence[int], measured: Sequence[Estimate]) -> Estimate:
    """The values at factor zero.

    All but the exponential one are linear, z = sum over k of w_k z_k, and var z = sum of w_k^2 var z_k. The
    exponential one has these weights to first order, by differences.

    Args:
        name: One of `EXTRAPOLATIONS`.
        factors: Strengths of the noise.
        measured: Of each factor, (circuits, n).
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


def _linear_function(name: str) -> Callable[[np.ndarray, np.ndarray], Any]:
    noise = require("pennylane", "mitigation", "zero-noise extrapolation").noise
    return noise.richardson_extrapolate if name == "richardson" else partial(noise.poly_extrapolate, order=ORDERS[name])  # type: ignore[no-any-return]


def _exponential(points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(many,) values at zero and (factors, many) derivatives; a value whose sign changes has no fit."""
    function = require("pennylane", "mitigation", "zero-noise extrapolation").noise.exponential_extrapolate
    found = np.array([float(function(points, column)) for column in values.T])
    weights = np.empty_like(values)
    for place, step in enumerate(SMALL * np.eye(len(points))):
        moved = np.array([float(function(points, column + step)) for column in values.T])
        weights[place] = (moved - found) / SMALL
    return found, weights


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
