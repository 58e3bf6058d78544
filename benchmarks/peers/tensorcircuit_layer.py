"""The circuit's layer in TensorCircuit's gates, which are the same for each of its backends."""

from typing import Any

import tensorcircuit as tc


def apply_layer(circuit: tc.Circuit, qubits: int, x: Any, t: Any) -> None:
    """One layer on one token's circuit.

    Args:
        circuit: What the gates are added to.
        qubits: n.
        x: (n,), the token's data.
        t: (4 n,), the layer's angles.
    """
    for i in range(qubits):
        circuit.ry(i, theta=x[i])
    for step, hop in enumerate((1, 0, -1, 0)):
        for i in range(qubits):
            angle = t[step * qubits + i]
            if hop:
                circuit.crz(i, (i + hop) % qubits, theta=angle)
            else:
                circuit.ry(i, theta=angle)


def use(backend: str, real_type: Any) -> Any:
    """Sets the package's one backend and its type, and returns the backend."""
    chosen = tc.set_backend(backend)
    tc.set_dtype("complex128" if real_type == "float64" else "complex64")
    return chosen
