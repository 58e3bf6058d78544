"""Measurement outcomes: frequencies, shots sampled from probabilities, and readout errors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qweft.core.text import short_repr


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Relative frequencies of outcomes, or exact probabilities.

    Args:
        values: (circuits, 2^n). Each row sums to 1. Qubit 0 is the most significant bit of an outcome's index. Entries
            may be negative after mitigation.
        shots: Shots of each circuit. `None` for exact probabilities.
    """

    values: np.ndarray
    shots: int | None

    @property
    def qubits(self) -> int:
        """Number of qubits n."""
        return qubits_of(self.values)

    def expectations(self) -> np.ndarray:
        """Return z_i = sum over outcomes b of frequency(b) (-1)^(b_i), shape (circuits, n)."""
        outcomes = np.arange(2**self.qubits)[:, None]
        shifts = np.arange(self.qubits)[::-1]  # qubit 0 is the most significant bit
        bits = outcomes >> shifts & 1
        return self.values @ (1.0 - 2.0 * bits)


def qubits_of(values: np.ndarray) -> int:
    """Return n of a table with 2^n columns."""
    return int(values.shape[1]).bit_length() - 1


def from_counts(counts: dict[str, int], qubits: int, shots: int) -> np.ndarray:
    """Convert counts by bit string, qubit 0 first, to one row of frequencies.

    Raises:
        ValueError: A key is no outcome of these qubits, a count is negative, or the counts do not add up to the shots.
    """
    row = np.zeros(2**qubits)
    for bits, count in counts.items():
        is_outcome = len(bits) == qubits and set(bits) <= {"0", "1"}
        if not is_outcome or count < 0:
            raise ValueError(f"{short_repr(bits)}: {short_repr(count)} is no count of an outcome of {qubits} qubits")
        row[int(bits, 2)] += count
    if row.sum() != shots:
        raise ValueError(f"the counts add up to {row.sum():g} instead of {shots} shots")
    return row / shots


def to_counts(frequencies: np.ndarray, shots: int) -> list[dict[str, int]]:
    """Convert each row of frequencies to counts by bit string, qubit 0 first, without outcomes that did not occur."""
    qubits = qubits_of(frequencies)
    table = np.rint(frequencies * shots).astype(int)
    counts = []
    for row in table:
        occurring = np.flatnonzero(row)
        counts.append({f"{outcome:0{qubits}b}": int(row[outcome]) for outcome in occurring})
    return counts


def sample(probabilities: np.ndarray, shots: int, keys: Sequence[str], seed: int) -> np.ndarray:
    """Sample shots of each circuit and return relative frequencies, shape (circuits, 2^n).

    The outcomes of a circuit depend on its key, the shots and the seed alone, not on the circuits beside it.
    """
    frequencies = np.empty_like(probabilities)
    for row, key in enumerate(keys):
        digest = hashlib.sha256(f"{key} {shots} {seed}".encode()).digest()
        generator = np.random.Generator(np.random.SFC64(int.from_bytes(digest[:16], "little")))
        positive = np.clip(probabilities[row], 0, None)  # rounding may leave -1e-17
        frequencies[row] = generator.multinomial(shots, positive / positive.sum()) / shots
    return frequencies


def on_each_qubit(values: np.ndarray, matrices: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Multiply rows by the Kronecker product of one matrix per qubit, with p(a|b) in row b and column a of each."""
    qubits = len(matrices)
    product = values
    for qubit, matrix in enumerate(matrices):
        by_qubit = product.reshape(len(values), 2**qubit, 2, 2 ** (qubits - qubit - 1))
        # r: row, p and s: outcomes of the qubits before and after, b: true bit, a: reported bit
        product = np.einsum("rpbs,ba->rpas", by_qubit, matrix)
    return product.reshape(values.shape)
