"""Rows of a circuit in TensorCircuit's gates, which are the same for each of its backends."""

from collections.abc import Sequence
from typing import Any

import tensorcircuit as tc
from benchmarks.peers.rows import Row


def apply(circuit: tc.Circuit, rows: Sequence[Row], x: Any, t: Any) -> None:
    """Gates on one token's circuit.

    Args:
        circuit: What the gates are added to.
        rows: The gates, their angles numbered from the first of t.
        x: (n,), the token's data.
        t: The trained angles of these rows.
    """
    for gate, wires, source, index in rows:
        if source is None:
            getattr(circuit, gate)(*wires)
        else:
            getattr(circuit, gate)(*wires, theta=x[index] if source == "x" else t[index])


def use(backend: str, real_type: Any) -> Any:
    """Sets the package's one backend and its type, and returns the backend."""
    chosen = tc.set_backend(backend)
    tc.set_dtype("complex128" if real_type == "float64" else "complex64")
    return chosen
