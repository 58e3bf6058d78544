"""Measurement outcomes: frequencies, shots sampled from probabilities, and readout errors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qweft.core.text import short_repr


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Relative frequencies of outcomes, or exact probabilities."""

    values: np.ndarray  # (circuits, 2^n), rows sum to 1; qubit 0: most significant bit; mitigated ones may be negative
    shots: int | None  # of each circuit; `None`: exact

    @property
    def qubits(self) -> int:
        """Number of qubits n."""
        return int(self.values.shape[1]).bit_length() - 1

    def expectations(self) -> np.ndarray:
        """Return z_i = sum over outcomes b of frequency(b) (-1)^(b_i), shape (circuits, n)."""
        outcomes = np.arange(2**self.qubits)[:, None]
        return self.values @ (1.0 - 2.0 * (outcomes >> np.arange(self.qubits)[::-1] & 1))


def from_counts(counts: dict[str, int], qubits: int, shots: int) -> np.ndarray:
    """Convert counts by bit string, qubit 0 first, to one row of frequencies."""
    row = np.zeros(2**qubits)
    for bits, count in counts.items():
        if len(bits) != qubits or set(bits) - {"0", "1"} or count < 0:
            raise ValueError(
                f"{short_repr(bits)} is no outcome of {qubits} qubits that occurs {short_repr(count)} times"
            )
        row[int(bits, 2)] += count
    if row.sum() != shots:
        raise ValueError(f"the counts add up to {row.sum():g} instead of {shots} shots")
    return row / shots


def to_counts(frequencies: np.ndarray, shots: int) -> list[dict[str, int]]:
    """Convert each row of frequencies to counts by bit string, qubit 0 first."""
    numbers, qubits = np.rint(frequencies * shots).astype(int), int(frequencies.shape[1]).bit_length() - 1
    return [{f"{outcome:0{qubits}b}": int(row[outcome]) for outcome in np.flatnonzero(row)} for row in numbers]


def sample(probabilities: np.ndarray, shots: int, keys: Sequence[str], seed: int) -> np.ndarray:
    """Sample shots of each circuit, by its key, the shots and the seed alone; return relative frequencies."""
    frequencies = np.empty_like(probabilities)
    for row, key in enumerate(keys):
        digest = hashlib.sha256(f"{key} {shots} {seed}".encode()).digest()
        draws = np.random.Generator(np.random.SFC64(int.from_bytes(digest[:16], "little")))
        clean = np.clip(probabilities[row], 0, None)  # rounding may leave -1e-17
        frequencies[row] = draws.multinomial(shots, clean / clean.sum()) / shots
    return frequencies


def on_each_qubit(values: np.ndarray, matrices: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Multiply rows by the Kronecker product of one matrix per qubit, with p(a|b) in row b and column a of each."""
    shape = values.shape
    for qubit, matrix in enumerate(matrices):
        split = values.reshape(len(values), 2**qubit, 2, 2 ** (len(matrices) - qubit - 1))
        values = np.einsum("rpbs,ba->rpas", split, matrix)
    return values.reshape(shape)
