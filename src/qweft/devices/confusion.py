"""Errors in reading out that are independent by qubit: a matrix for each qubit."""

from collections.abc import Sequence

import numpy as np


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
