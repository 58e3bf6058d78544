"""Error mitigation: readout errors undone, and zero-noise extrapolation from folded circuits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, Runner
from qweft.devices.outcomes import Frequencies, on_each_qubit

ORDERS = {"richardson": None, "linear": 1, "quadratic": 2}
"""Order of the fitted polynomial by name; Richardson's passes through all points."""
LEAST = 0.05
"""Minimum of p(0|0) + p(1|1) - 1. Below it a qubit's outcome says too little about its state."""


@dataclass(frozen=True)
class Mitigation:
    """Estimates expectation values from further circuits; readout errors first, then the noise is extrapolated.

    Args:
        undoes_readout: Whether to correct readout errors that are independent between qubits.
        factors: Folding factors, empty without extrapolation.
        weights: Weight of the values at each factor.
    """

    undoes_readout: bool = False
    factors: tuple[int, ...] = ()
    weights: tuple[float, ...] = (1.0,)

    @property
    def folds(self) -> int:
        """Number of circuits that are run for each one, without calibration."""
        return max(1, len(self.factors))

    def runs(self, circuits: BoundCircuits) -> list[BoundCircuits]:
        """Return all circuits that `expectations` runs, so that they can be counted beforehand."""
        if not len(circuits):
            return []
        forms = [folded(circuits, factor) for factor in self.factors] or [circuits]
        if not self.undoes_readout:
            return forms
        return [run for form in forms for run in (calibration_circuits(form), form)]

    def expectations(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> np.ndarray:
        """Return the expectation values of Z, shape (circuits, n)."""
        if not len(circuits):
            return np.zeros((0, circuits.qubits))
        measured = [runner.run(run, shots) for run in self.runs(circuits)]
        if self.undoes_readout:
            pairs = zip(map(confusion_matrices, measured[::2]), measured[1::2], strict=True)
            corrected = [on_each_qubit(others.values, np.linalg.inv(matrices)) for matrices, others in pairs]
            measured = [Frequencies(values, shots) for values in corrected]
        return np.tensordot(self.weights, [each.expectations() for each in measured], 1)


def make_mitigation(
    readout: str | None = None, zne: tuple[int, ...] | None = None, extrapolation: str = "richardson"
) -> Mitigation:
    """Return a mitigation.

    Args:
        readout: "inverse" inverts each qubit's matrix. `None` leaves readout errors uncorrected.
        zne: Folding factors for zero-noise extrapolation, such as (1, 3, 5). `None` leaves gate noise uncorrected.
        extrapolation: "richardson", "linear" or "quadratic".
    """
    if readout not in (None, "inverse"):
        raise DeviceError(f"there is no readout mitigation {readout}; there is inverse")
    if zne is None:
        return Mitigation(readout is not None)
    if any(factor < 1 or factor % 2 == 0 for factor in zne) or len(set(zne)) < len(zne):
        raise DeviceError(
            f"zero-noise extrapolation takes different odd factors of at least 1, such as 1, 3, 5; got {zne}"
        )
    return Mitigation(readout is not None, tuple(zne), extrapolation_weights(extrapolation, zne))


def extrapolation_weights(name: str, factors: Sequence[int]) -> tuple[float, ...]:
    """Return w of sum over k of w_k z_k, the value at factor 0 of the least-squares polynomial through the values."""
    if name not in ORDERS:
        raise DeviceError(f"there is no extrapolation {name}; there are {', '.join(ORDERS)}")
    order = ORDERS[name] or max(1, len(factors) - 1)
    if len(factors) <= order:
        raise DeviceError(f"zero-noise extrapolation {name} needs {order + 1} factors, got {factors}")
    return tuple(np.linalg.pinv(np.vander(np.array(factors, dtype=float), order + 1, increasing=True))[0].tolist())


def folded(circuits: BoundCircuits, factor: int) -> BoundCircuits:
    """Return U (U^dagger U)^k with factor = 1 + 2 k, its parts separated by barriers.

    A barrier also at factor 1: a compiler that optimizes only circuits without any would shorten these alone.
    """
    gates, angles = circuits.gates, [circuits.angles]
    for _ in range(factor // 2):
        gates += circuits.gates[::-1] + circuits.gates
        angles += [-circuits.angles[:, ::-1], circuits.angles]  # the inverse has angles -t
    return BoundCircuits(circuits.qubits, gates, np.concatenate(angles, 1), factor)


def calibration_circuits(circuits: BoundCircuits) -> BoundCircuits:
    """Return circuits that prepare |0...0> and, by RY(pi), |1...1> on the qubits where the given circuits end."""
    gates = tuple(("ry", (qubit,)) for qubit in range(circuits.qubits))
    angles = np.array([[0.0], [math.pi]]) * np.ones(circuits.qubits)
    return BoundCircuits(circuits.qubits, gates, angles, placed_like=circuits.pick(slice(0)))


def confusion_matrices(calibration: Frequencies) -> np.ndarray:
    """Return p(a|b) of each qubit in row b and column a, shape (n, 2, 2)."""
    zero, one = calibration.expectations()
    up, down = (1 - zero) / 2, (1 + one) / 2
    worst = int(np.argmax(up + down))
    if 1 - up[worst] - down[worst] < LEAST:
        raise DeviceError(
            f"readout mitigation: qubit {worst} reads 1 with probability {up[worst]:.3g} in |0> and "
            f"{1 - down[worst]:.3g} in |1>, which is too similar; leave the mitigation out"
        )
    return np.stack([np.stack([1 - up, up], 1), np.stack([down, 1 - down], 1)], 1)
