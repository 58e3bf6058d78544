"""The quantum neural network: the circuit as data, and exact engines that compute its expectation values."""

from qweft.circuit.ansatz import crz_ring_ansatz, without_crz
from qweft.circuit.description import Circuit, Gate
from qweft.circuit.engine import expectation_values
from qweft.circuit.gate_by_gate import gate_by_gate
from qweft.circuit.states import final_states

__all__ = [
    "Circuit",
    "Gate",
    "crz_ring_ansatz",
    "expectation_values",
    "final_states",
    "gate_by_gate",
    "without_crz",
]
