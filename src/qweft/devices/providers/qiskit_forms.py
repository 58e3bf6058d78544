"""Circuits of one form as one parametrised Qiskit circuit, and what a run makes of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qweft.devices.bound import BoundCircuits
from qweft.devices.errors import RefusedError

SEED = 0
"""Of the transpiler: the same circuit is compiled the same way in every process."""
CIRCUITS_AT_A_TIME = 1000


@dataclass(frozen=True)
class Form:
    """What circuits of one form have in common; hashable, so that a form is compiled once."""

    qubits: int
    gates: tuple[tuple[str, tuple[int, ...]], ...]
    barriers: tuple[int, ...]
    placed_like: Form | None = None

    @classmethod
    def of(cls, circuits: BoundCircuits) -> Form:
        """The form of these circuits."""
        like = None if circuits.placed_like is None else cls(circuits.qubits, *circuits.placed_like)
        return cls(circuits.qubits, circuits.gates, circuits.barriers, like)


def values_of(circuit: Any, angles: np.ndarray) -> np.ndarray:
    """The columns of a table of angles that a circuit still has parameters for, in the order of `circuit.parameters`.

    A compiler leaves out what cannot change a measurement.
    """
    return angles[:, [parameter.index for parameter in circuit.parameters]]


def probabilities_of(simulator: Any, circuit: Any, angles: np.ndarray) -> np.ndarray:
    """What `save_probabilities` of a circuit saves, for every row of angles, in few runs.

    Args:
        simulator: An AerSimulator.
        circuit: It may hold no controlled rotations: Aer 0.18 leaves a parameter bound in a run at zero in those
            (github.com/Qiskit/qiskit-aer, issues 2323, 2391, 2403), and says nothing.
        angles: (circuits, gates), in radians; the circuit's parameters are of one vector, numbered as its columns.

    Returns:
        (circuits, 2^n).

    Raises:
        RefusedError: If Aer fails; most often it has too little memory.
    """
    values = values_of(circuit, angles)
    rows: list[np.ndarray] = []
    for first in range(0, len(values), CIRCUITS_AT_A_TIME):
        some = values[first : first + CIRCUITS_AT_A_TIME]
        binds = {parameter: some[:, column].tolist() for column, parameter in enumerate(circuit.parameters)}
        result = simulator.run(
            [circuit] * (1 if binds else len(some)), parameter_binds=[binds] if binds else None
        ).result()
        if not result.success:
            raise RefusedError(f"Aer: {' '.join(str(result.status).split())}")
        rows.extend(np.asarray(one.data.probabilities) for one in result.results)
    return np.stack(rows)
