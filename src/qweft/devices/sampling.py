"""Shots drawn from probabilities, for each circuit by itself."""

import hashlib
from collections.abc import Sequence

import numpy as np


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
