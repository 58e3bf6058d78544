"""What a device measures: how often each outcome came."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Relative frequencies of the outcomes of some circuits, or their probabilities.

    Args:
        values: (circuits, 2^n), each row sums to one; qubit 0 is the most significant bit of an outcome's number. A
            mitigated row may have entries below zero.
        shots: How often each circuit was measured; none where these are probabilities.
    """

    values: np.ndarray
    shots: int | None

    @property
    def qubits(self) -> int:
        """Number of qubits n."""
        return int(self.values.shape[1]).bit_length() - 1

    def expectations(self) -> np.ndarray:
        """(circuits, n): z_i = sum over outcomes b of frequency(b) (-1)^(b_i)."""
        return self.values @ signs(self.qubits)

    def standard_errors(self) -> np.ndarray:
        """(circuits, n): sqrt((1 - z_i^2) / shots) of frequencies, zero of probabilities."""
        z = self.expectations()
        return np.zeros_like(z) if self.shots is None else np.sqrt(np.clip(1 - z**2, 0, None) / self.shots)


def signs(qubits: int) -> np.ndarray:
    """(2^n, n): (-1)^(b_i) for outcome b and qubit i."""
    outcomes = np.arange(2**qubits)[:, None]
    return 1.0 - 2.0 * (outcomes >> np.arange(qubits)[::-1] & 1)


def from_counts(counts: dict[str, int], qubits: int, shots: int) -> np.ndarray:
    """One row of frequencies from counts by bit string, qubit 0 first.

    Raises:
        ValueError: If a key is no string of n bits, or the counts do not add up to the shots.
    """
    row = np.zeros(2**qubits)
    for bits, count in counts.items():
        if len(bits) != qubits or set(bits) - {"0", "1"}:
            raise ValueError(f"{bits!r} is no outcome of {qubits} qubits")
        row[int(bits, 2)] += count
    if row.sum() != shots:
        raise ValueError(f"the counts add up to {row.sum():g} instead of {shots} shots")
    return row / shots
