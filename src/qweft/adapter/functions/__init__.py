"""What a core may make of c, R^r -> R^r: the circuit, and the twins that stand in its place."""

from qweft.adapter.functions.base import Function
from qweft.adapter.functions.circuits import CircuitFunction, FrozenCircuit, ProductCircuit
from qweft.adapter.functions.fourier import FourierSeries
from qweft.adapter.functions.mlp import Perceptron
from qweft.circuit import crz_ring_ansatz

__all__ = ["Function", "make_function"]


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
    if name == "mlp":
        return Perceptron(ansatz, uploads)
    if name == "fourier":
        return FourierSeries(ansatz, uploads, fourier_terms)
    kinds = {"quantum": CircuitFunction, "frozen": FrozenCircuit, "product": ProductCircuit}
    return kinds[name](ansatz, uploads)
