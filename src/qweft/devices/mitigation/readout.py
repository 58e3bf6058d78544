"""Readout errors, calibrated on |0...0> and |1...1> and corrected."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.device import DeviceError, Runner, require
from qweft.devices.mitigation.estimate import Estimate, Mitigation
from qweft.devices.outcomes import Frequencies, on_each_qubit

Method = Literal["inverse", "m3"]
LEAST = 0.05
"""Minimum of p(0|0) + p(1|1) - 1. Below it a qubit's outcome says too little about its state."""


class ReadoutMitigation(Mitigation):
    """Corrects readout errors that are independent between qubits.

    Two calibration circuits measure p(a|b) of each qubit. They go through the same runner as the other circuits. An
    `Executor` stores their results per chip and calibration, so they are paid for once.

    Preparing |1> takes one gate per qubit, so its error counts as readout error.
    """

    def __init__(self, method: Method = "inverse") -> None:
        self._method = method
        if method == "m3":
            require("mthree", "mitigation", "readout mitigation m3")

    def runs(self, circuits: BoundCircuits) -> list[BoundCircuits]:
        """Return the two calibration circuits and the circuits; empty without circuits."""
        return [calibration_circuits(circuits), circuits] if len(circuits) else []

    def estimate(self, runner: Runner, circuits: BoundCircuits, shots: int | None) -> Estimate:
        """Return z = (z' - a) / b for each qubit, with b = 1 - p(1|0) - p(0|1) and a = p(0|1) - p(1|0)."""
        if self._method == "m3" and shots is None:
            raise DeviceError("readout mitigation m3 works on counts; give a number of shots, or use inverse")
        if not len(circuits):
            return Estimate(np.zeros((0, circuits.qubits)), np.zeros((0, circuits.qubits)))
        calibration, others = (runner.run(some, shots) for some in self.runs(circuits))
        matrices = confusion_matrices(calibration)
        correct = _inverse if self._method == "inverse" else _m3
        values = correct(others, matrices)
        return Estimate(values, _standard_errors(values, others, matrices))


def calibration_circuits(circuits: BoundCircuits) -> BoundCircuits:
    """Return the circuits that prepare |0...0> and |1...1>, by RY(0) and RY(pi) on each qubit.

    They are placed on the physical qubits where the given circuits end.
    """
    qubits = circuits.qubits
    gates = tuple(("ry", (qubit,)) for qubit in range(qubits))
    angles = np.array([[0.0], [math.pi]]) * np.ones(qubits)
    return BoundCircuits(qubits, gates, angles, placed_like=(circuits.gates, circuits.barriers, circuits.folds))


def confusion_matrices(calibration: Frequencies) -> np.ndarray:
    """Return p(a|b) of each qubit in row b and column a, shape (n, 2, 2)."""
    zero, one = calibration.expectations()
    up, down = (1 - zero) / 2, (1 + one) / 2
    for qubit, left in enumerate(1 - up - down):
        if left < LEAST:
            raise DeviceError(
                f"readout mitigation: qubit {qubit} reads 1 with probability {up[qubit]:.3g} in |0> and "
                f"{1 - down[qubit]:.3g} in |1>, which tells too little of its state; leave the mitigation out"
            )
    return np.stack([np.stack([1 - up, up], 1), np.stack([down, 1 - down], 1)], 1)


def _inverse(frequencies: Frequencies, matrices: np.ndarray) -> np.ndarray:
    corrected = on_each_qubit(frequencies.values, np.linalg.inv(matrices))
    return Frequencies(corrected, frequencies.shots).expectations()


def _m3(frequencies: Frequencies, matrices: np.ndarray) -> np.ndarray:
    mthree = require("mthree", "mitigation", "readout mitigation m3")
    mitigator = mthree.M3Mitigation(None)
    mitigator.cals_from_matrices([matrix.T for matrix in matrices])  # mthree has one column per true outcome
    n, shots = frequencies.qubits, frequencies.shots
    assert shots is not None
    rows = np.zeros_like(frequencies.values)
    for place, row in enumerate(frequencies.values):
        outcomes = np.flatnonzero(row)
        # in mthree's bit strings qubit 0 is the last character
        counts = {format(outcome, f"0{n}b")[::-1]: round(row[outcome] * shots) for outcome in outcomes}
        for bits, value in mitigator.apply_correction(counts, range(n)).items():
            rows[place, int(bits[::-1], 2)] = value
    return Frequencies(rows, shots).expectations()


def _standard_errors(values: np.ndarray, frequencies: Frequencies, matrices: np.ndarray) -> np.ndarray:
    """Return the standard errors of z = (z' - a) / b.

    u = p(1|0) and d = p(0|1) are measured with as many shots as z':

        var z = [var z' + (1 + z)^2 var u + (1 - z)^2 var d] / b^2

    For the same standard error, the shots grow by at least 1 / b^2.
    """
    if frequencies.shots is None:
        return np.zeros_like(values)
    up, down = matrices[:, 0, 1], matrices[:, 1, 0]
    of_up, of_down = (p * (1 - p) / frequencies.shots for p in (up, down))
    variance = frequencies.standard_errors() ** 2 + (1 + values) ** 2 * of_up + (1 - values) ** 2 * of_down
    return np.sqrt(variance) / (1 - up - down)
