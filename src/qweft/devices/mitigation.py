"""Error mitigation: readout errors undone, and zero-noise extrapolation from folded circuits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import CircuitRunner, DeviceError
from qweft.devices.outcomes import Frequencies, on_each_qubit

ORDERS = {"richardson": None, "linear": 1, "quadratic": 2}
"""Order of the fitted polynomial by name; Richardson's passes through all points."""
LEAST_CONTRAST = 0.05
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
        """Return all circuits that `expectations` runs: for each factor its calibration, then the folded circuits."""
        if not len(circuits):
            return []
        runs = []
        for form in self.forms(circuits):
            if self.undoes_readout:
                runs.append(calibration_circuits(form))
            runs.append(form)
        return runs

    def forms(self, circuits: BoundCircuits) -> list[BoundCircuits]:
        """Return the circuits folded by each factor, or as they are without extrapolation."""
        if not self.factors:
            return [circuits]
        return [fold_circuits(circuits, factor) for factor in self.factors]

    def expectations(self, runner: CircuitRunner, circuits: BoundCircuits, shots: int | None) -> np.ndarray:
        """Return the expectation values of Z, shape (circuits, n)."""
        if not len(circuits):
            return np.zeros((0, circuits.qubits))
        measured = [runner.run(run, shots) for run in self.runs(circuits)]
        if self.undoes_readout:
            calibrations = measured[::2]
            measured = [
                undo_readout(frequencies, calibration)
                for calibration, frequencies in zip(calibrations, measured[1::2], strict=True)
            ]
        values = [frequencies.expectations() for frequencies in measured]
        return np.tensordot(self.weights, values, 1)


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
    undoes_readout = readout is not None
    if zne is None:
        return Mitigation(undoes_readout)
    are_odd = all(factor >= 1 and factor % 2 == 1 for factor in zne)
    if not are_odd or len(set(zne)) < len(zne):
        raise DeviceError(
            f"zero-noise extrapolation takes different odd factors of at least 1, such as 1, 3, 5; got {zne}"
        )
    return Mitigation(undoes_readout, tuple(zne), extrapolation_weights(extrapolation, zne))


def extrapolation_weights(name: str, factors: Sequence[int]) -> tuple[float, ...]:
    """Return w of sum over k of w_k z_k, the value at factor 0 of the least-squares polynomial through the values."""
    if name not in ORDERS:
        raise DeviceError(f"there is no extrapolation {name}; there are {', '.join(ORDERS)}")
    order = ORDERS[name] or max(1, len(factors) - 1)
    if len(factors) <= order:
        raise DeviceError(f"zero-noise extrapolation {name} needs {order + 1} factors, got {factors}")
    powers = np.vander(np.array(factors, dtype=float), order + 1, increasing=True)
    # row 0 of the pseudoinverse gives the polynomial's constant term, its value at factor 0
    return tuple(np.linalg.pinv(powers)[0].tolist())


def fold_circuits(circuits: BoundCircuits, factor: int) -> BoundCircuits:
    """Return U (U^dagger U)^k with factor = 1 + 2 k, its parts separated by barriers.

    A barrier also at factor 1: a compiler that optimizes only circuits without any would shorten these alone.
    """
    gates = circuits.gates
    angles = [circuits.angles]
    for _ in range(factor // 2):
        gates += circuits.gates[::-1] + circuits.gates
        angles += [-circuits.angles[:, ::-1], circuits.angles]  # the inverse has angles -t
    return BoundCircuits(circuits.qubits, gates, np.concatenate(angles, 1), factor)


CALIBRATION_CIRCUITS = 2
"""Number of circuits that calibrate readout errors: |0...0> and |1...1>."""


def calibration_circuits(circuits: BoundCircuits) -> BoundCircuits:
    """Return circuits that prepare |0...0> and, by RY(pi), |1...1> on the qubits where the given circuits end."""
    gates = tuple(("ry", (qubit,)) for qubit in range(circuits.qubits))
    angles = np.zeros((CALIBRATION_CIRCUITS, circuits.qubits))
    angles[1] = math.pi
    return BoundCircuits(circuits.qubits, gates, angles, placed_like=circuits.pick(slice(0)))


def undo_readout(frequencies: Frequencies, calibration: Frequencies) -> Frequencies:
    """Return what would have been counted without readout errors; entries may be negative."""
    inverses = np.linalg.inv(confusion_matrices(calibration))
    return Frequencies(on_each_qubit(frequencies.values, inverses), frequencies.shots)


def confusion_matrices(calibration: Frequencies) -> np.ndarray:
    """Return p(a|b) of each qubit in row b and column a, shape (n, 2, 2)."""
    zero, one = calibration.expectations()  # of every qubit, prepared in |0> and in |1>
    wrong_in_zero = (1 - zero) / 2
    wrong_in_one = (1 + one) / 2
    worst = int(np.argmax(wrong_in_zero + wrong_in_one))
    if 1 - wrong_in_zero[worst] - wrong_in_one[worst] < LEAST_CONTRAST:
        raise DeviceError(
            f"readout mitigation: qubit {worst} reads 1 with probability {wrong_in_zero[worst]:.3g} in |0> and "
            f"{1 - wrong_in_one[worst]:.3g} in |1>, which is too similar; leave the mitigation out"
        )
    row_of_zero = np.stack([1 - wrong_in_zero, wrong_in_zero], 1)
    row_of_one = np.stack([wrong_in_one, 1 - wrong_in_one], 1)
    return np.stack([row_of_zero, row_of_one], 1)
