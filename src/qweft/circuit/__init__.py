"""The quantum neural network: the circuit as data, and exact engines that compute its expectation values.

Importing this package imports no module of it, because the names in `formats` are read without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qweft.circuit.description import (
        Circuit,
        Gate,
        c,
        circuit_of,
        crz_ring_ansatz,
        hardware_efficient_ansatz,
        t,
        unentangled,
    )
    from qweft.circuit.engine import expectation_values
    from qweft.circuit.reference import final_states, gate_by_gate

__all__ = [
    "Circuit",
    "Gate",
    "c",
    "circuit_of",
    "crz_ring_ansatz",
    "expectation_values",
    "final_states",
    "gate_by_gate",
    "hardware_efficient_ansatz",
    "t",
    "unentangled",
]

_HOMES = {
    "Circuit": "description",
    "Gate": "description",
    "c": "description",
    "circuit_of": "description",
    "crz_ring_ansatz": "description",
    "expectation_values": "engine",
    "final_states": "reference",
    "gate_by_gate": "reference",
    "hardware_efficient_ansatz": "description",
    "t": "description",
    "unentangled": "description",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
