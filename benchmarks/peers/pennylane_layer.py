"""Rows of a circuit in PennyLane's operations, which are the same for each of its devices and interfaces."""

from collections.abc import Sequence
from typing import Any

import pennylane as qml
from benchmarks.peers.rows import Row

GATES = {"ry": qml.RY, "rz": qml.RZ, "crz": qml.CRZ, "cnot": qml.CNOT}


def apply(rows: Sequence[Row], x: Any, t: Any) -> None:
    """Queue gates on the circuit being recorded.

    Args:
        rows: Gates, their angles numbered from the first of t.
        x: (..., n), the tokens' data.
        t: The trained angles of these rows.
    """
    for gate, wires, source, index in rows:
        if source is None:
            GATES[gate](wires)
        else:
            GATES[gate](x[..., index] if source == "x" else t[index], wires)
