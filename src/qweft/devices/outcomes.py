"""Outcomes of a measurement: frequencies, shots drawn from probabilities, and readout errors."""

import hashlib
from collections.abc import Sequence
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


def sample(probabilities: np.ndarray, shots: int, keys: Sequence[str], seed: int) -> np.ndarray:
    """Relative frequencies of so many shots of each circuit.

    A circuit's numbers follow from its key, the shots and the seed alone: neither its neighbours nor the size of a
    batch change them, and the same circuit measured twice gives the same.

    Args:
        probabilities: (circuits, 2^n).
        shots: Measurements of each circuit.
        keys: From `BoundCircuits.keys`.
        seed: Another seed gives other numbers.

    Returns:
        (circuits, 2^n), float64.
    """
    found = np.empty_like(probabilities)
    for row, key in enumerate(keys):
        digest = hashlib.sha256(f"{key} {shots} {seed}".encode()).digest()
        draws = np.random.Generator(np.random.SFC64(int.from_bytes(digest[:16], "little")))
        clean = np.clip(probabilities[row], 0, None)  # rounding may leave -1e-17
        found[row] = draws.multinomial(shots, clean / clean.sum()) / shots
    return found


def on_each_qubit(values: np.ndarray, matrices: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Rows times the Kronecker product of the qubits' matrices, without building it.

    With p(a|b) in row b and column a of a matrix, true probabilities become those of the reported outcomes; with the
    inverses it is the way back.

    Args:
        values: (rows, 2^n), qubit 0 the most significant bit.
        matrices: n of (2, 2), qubit 0 first.

    Returns:
        (rows, 2^n).
    """
    found = values
    for qubit, matrix in enumerate(matrices):
        split = found.reshape(len(values), 2**qubit, 2, 2 ** (len(matrices) - qubit - 1))
        found = np.einsum("rpbs,ba->rpas", split, matrix)
    return found.reshape(values.shape)
