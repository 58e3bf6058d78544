"""The circuit's layer in PennyLane's operations, which are the same for each of its devices and interfaces."""

from typing import Any

import pennylane as qml


def apply_layer(qubits: int, x: Any, t: Any) -> None:
    """One layer on the circuit being recorded.

    Args:
        qubits: n.
        x: (..., n), the tokens' data.
        t: (4 n,), the layer's angles.
    """
    for i in range(qubits):
        qml.RY(x[..., i], i)
    for step, hop in enumerate((1, 0, -1, 0)):
        for i in range(qubits):
            angle = t[step * qubits + i]
            if hop:
                qml.CRZ(angle, [i, (i + hop) % qubits])
            else:
                qml.RY(angle, i)
