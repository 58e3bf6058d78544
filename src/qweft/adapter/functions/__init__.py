"""Functions of c in a core, R^r -> R^r: the circuit, and the classical controls ("twins") that replace it.

To add one, write its class in a file of its own and add it to `FUNCTIONS`.
"""

from qweft.adapter.functions.base import Function
from qweft.adapter.functions.circuits import CircuitFunction, FrozenCircuit, ProductCircuit
from qweft.adapter.functions.fourier import FourierSeries
from qweft.adapter.functions.mlp import Perceptron
from qweft.circuit import crz_ring_ansatz

__all__ = ["CIRCUITS", "FUNCTIONS", "TWINS", "Function", "make_function"]

FUNCTIONS: dict[str, type[Function]] = {
    "quantum": CircuitFunction,
    "mlp": Perceptron,
    "fourier": FourierSeries,
    "frozen": FrozenCircuit,
    "product": ProductCircuit,
}
"""The circuit and its classical controls, which show what the circuit contributes."""
TWINS = tuple(FUNCTIONS)[1:]
CIRCUITS = tuple(name for name, kind in FUNCTIONS.items() if issubclass(kind, CircuitFunction))
"""Functions that run a circuit."""


def make_function(name: str, r: int, layers: int, reupload: bool, fourier_terms: int | None = None) -> Function:
    """Return the function of this name.

    Args:
        name: "quantum", or a classical control: "mlp", "fourier", "frozen", "product".
        r: Number of entries of c that it reads, and of qubits.
        layers: Layers L of the circuit, or of the circuit that it replaces.
        reupload: Whether that circuit uploads its input before every layer.
        fourier_terms: As in `QwthnConfig`.
    """
    ansatz = crz_ring_ansatz(r, layers, reupload)
    uploads = layers if reupload else 1
    kind = FUNCTIONS[name]
    return kind(ansatz, uploads, fourier_terms) if issubclass(kind, FourierSeries) else kind(ansatz, uploads)
