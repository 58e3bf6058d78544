"""What a core may make of c, R^r -> R^r: the circuit, and the classical controls ("twins") that take its place.

To add one, write its class in a file of its own and name it in `FUNCTIONS`.
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
"""The circuit, and its twins: what stands in its place to tell what the circuit does."""
TWINS = tuple(FUNCTIONS)[1:]
CIRCUITS = tuple(name for name, kind in FUNCTIONS.items() if issubclass(kind, CircuitFunction))
"""Functions that are circuits themselves."""


def make_function(name: str, r: int, layers: int, reupload: bool, fourier_terms: int | None = None) -> Function:
    """The function of that name.

    Args:
        name: "quantum", or a twin: "mlp", "fourier", "frozen", "product".
        r: Width of c, and qubits of the circuit.
        layers: Layers L of the circuit, or of the one that is stood in for.
        reupload: Whether that circuit uploads its input before every layer.
        fourier_terms: As in `QwthnConfig`.
    """
    ansatz = crz_ring_ansatz(r, layers, reupload)
    uploads = layers if reupload else 1
    kind = FUNCTIONS[name]
    return kind(ansatz, uploads, fourier_terms) if issubclass(kind, FourierSeries) else kind(ansatz, uploads)
