"""A circuit in the languages and libraries of others, one module for each."""

from collections.abc import Callable

from qweft.circuit.formats.openqasm import to_openqasm2, to_openqasm3
from qweft.circuit.formats.origin import to_originir
from qweft.circuit.formats.pennylane import to_pennylane
from qweft.circuit.formats.qiskit import to_qiskit

FORMATS: dict[str, Callable[..., str]] = {
    "qasm3": to_openqasm3,
    "qasm2": to_openqasm2,
    "originir": to_originir,
}
"""Text formats by file ending; each function takes (circuit, inputs, parameters, measured, about)."""

__all__ = ["FORMATS", "to_openqasm2", "to_openqasm3", "to_originir", "to_pennylane", "to_qiskit"]
