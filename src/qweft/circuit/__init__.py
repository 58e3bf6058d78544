"""The quantum neural network: the circuit as data, and exact engines; importing this imports no PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    if name in ("expectation_values", "final_states", "gate_by_gate"):
        home = "engine" if name == "expectation_values" else "reference"
        return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
