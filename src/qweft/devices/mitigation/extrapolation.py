"""Measured at several strengths of noise, and what that means without noise: PennyLane's extrapolations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from qweft.devices.errors import DeviceError
from qweft.devices.extras import require
from qweft.devices.mitigation.estimate import Estimate

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
