"""Circuits as programs of pyqpanda3."""

from __future__ import annotations

from typing import Any

import numpy as np

from qweft.devices.bound import BoundCircuits


def program(circuits: BoundCircuits, row: np.ndarray, measured: bool) -> Any:
    """A QProg of one circuit.

    Args:
        circuits: What it is one of.
        row: Its angles, (gates,).
        measured: Whether every qubit is measured at the end, qubit i into bit i.
    """
    from pyqpanda3.core import BARRIER, CRZ, RY, QProg, measure

    wires = list(range(circuits.qubits))
    found = QProg(circuits.qubits)
    for place, ((name, on), angle) in enumerate(zip(circuits.gates, row.tolist(), strict=True)):
        if place in circuits.barriers:
            found << BARRIER(wires)
        found << (RY(*on, angle) if name == "ry" else CRZ(*on, angle))
    if measured:
        found << measure(wires, wires)
    return found
