"""The quantum neural network: the circuit as data, and exact engines that compute its expectation values."""

from qweft.circuit.description import Circuit, Gate, crz_ring_ansatz, without_crz
from qweft.circuit.engine import expectation_values
from qweft.circuit.reference import final_states, gate_by_gate

__all__ = [
    "Circuit",
    "Gate",
    "crz_ring_ansatz",
    "expectation_values",
    "final_states",
    "gate_by_gate",
    "without_crz",
]
