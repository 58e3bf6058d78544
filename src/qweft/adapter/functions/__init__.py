"""Functions of c in a core, R^r -> R^r: the circuit, and the classical controls ("twins") that replace it.

To add one, write its class in a file of its own, add it to `FUNCTIONS`, and enter its name in `qweft.method.names`. The
names of cores, the model card, the plan and the reports follow.
"""

from qweft.adapter.functions.base import Function
from qweft.adapter.functions.circuits import CircuitFunction, FrozenCircuit, ProductCircuit
from qweft.adapter.functions.fourier import FourierSeries
from qweft.adapter.functions.mlp import Bias, Perceptron
from qweft.circuit import crz_ring_ansatz
from qweft.method import names

__all__ = ["FUNCTIONS", "Function", "make_function"]

FUNCTIONS: dict[str, type[Function]] = {
    kind.name: kind for kind in (CircuitFunction, Perceptron, FourierSeries, FrozenCircuit, ProductCircuit, Bias)
}
"""The circuit and its controls, which show what the circuit contributes, by the name in that of a core."""


def make_function(name: str, r: int, layers: int, reupload: bool, fourier_terms: int | None = None) -> Function:
    """Return the function of this name."""
    given = {"fourier_terms": fourier_terms}
    read = {field: given[field] for field in names.FUNCTIONS[name].fields}
    return FUNCTIONS[name](crz_ring_ansatz(r, layers, reupload), layers if reupload else 1, **read)
