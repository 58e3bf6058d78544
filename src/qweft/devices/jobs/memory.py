"""Results of quick devices for as long as a run lasts: the same circuit often comes again."""

import numpy as np

from qweft.devices.bound import BoundCircuits

MOST_NUMBERS = 2**24
"""128 MiB in float64."""


class Memory:
    """Rows of frequencies by circuit and shots; empty again when it is full.

    Args:
        most_numbers: So many numbers are kept at most.
    """

    def __init__(self, most_numbers: int = MOST_NUMBERS) -> None:
        self._most = most_numbers
        self._rows: dict[tuple[str, int | None], np.ndarray] = {}
        self._numbers = 0

    def recall(self, circuits: BoundCircuits, shots: int | None) -> tuple[np.ndarray, list[int]]:
        """(circuits, 2^n) with the rows that are known, and the places of those that are not."""
        found = np.empty((len(circuits), 2**circuits.qubits))
        unknown = []
        for place, key in enumerate(circuits.keys()):
            row = self._rows.get((key, shots))
            if row is None:
                unknown.append(place)
            else:
                found[place] = row
        return found, unknown

    def keep(self, circuits: BoundCircuits, shots: int | None, rows: np.ndarray) -> None:
        """Remember what was measured."""
        if self._numbers + rows.size > self._most:
            self._rows, self._numbers = {}, 0
        if rows.size <= self._most:
            keys = circuits.keys()
            self._rows |= {(key, shots): row for key, row in zip(keys, rows, strict=True)}
            self._numbers += rows.size
