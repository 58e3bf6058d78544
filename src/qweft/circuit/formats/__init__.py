"""A circuit in the languages and libraries of others, one module for each. Importing it imports none of them."""

from qweft.circuit.formats.common import Format
from qweft.circuit.formats.openqasm import from_openqasm3, to_openqasm2, to_openqasm3
from qweft.circuit.formats.origin import to_originir
from qweft.circuit.formats.pennylane import to_pennylane
from qweft.circuit.formats.qiskit import to_qiskit

__all__ = ["FORMATS", "from_openqasm3", "to_openqasm2", "to_openqasm3", "to_originir", "to_pennylane", "to_qiskit"]

FORMATS = {
    "qasm3": Format(to_openqasm3, "qasm"),
    "qasm2": Format(to_openqasm2, "qasm"),
    "originir": Format(to_originir, "originir"),
}
"""Text formats by their names on the command line. A new format is a module and an entry here."""
