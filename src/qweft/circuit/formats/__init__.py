"""The circuit in the formats of other programs: OpenQASM 2 and 3, OriginIR; objects of Qiskit, PennyLane, pyqpanda3.

In all of them qubit i is our qubit i, so that the expectation of Z on it is our z_i. What differs is how programs write
an outcome: we and PennyLane with qubit 0 first, Qiskit and pyqpanda3 with qubit 0 last.
"""

from qweft.circuit.formats.origin import to_origin
from qweft.circuit.formats.originir import to_originir
from qweft.circuit.formats.pennylane import to_pennylane
from qweft.circuit.formats.qasm2 import to_qasm2
from qweft.circuit.formats.qasm3 import to_qasm3
from qweft.circuit.formats.qiskit import to_qiskit

__all__ = ["to_origin", "to_originir", "to_pennylane", "to_qasm2", "to_qasm3", "to_qiskit"]
