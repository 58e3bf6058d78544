"""Functions of c in a core, R^r -> R^r: the circuit, and the classical controls ("twins") that replace it.

To add one, write its class in a file of its own, add it to `FUNCTIONS`, and enter its name in `qweft.method.names`. The
names of cores, the model card, the plan and the reports follow.
"""

from qweft.adapter.functions.base import Function
from qweft.adapter.functions.circuits import CircuitFunction, FrozenCircuit, ProductCircuit
from qweft.adapter.functions.fourier import FourierSeries
from qweft.adapter.functions.mlp import Bias, Perceptron
from qweft.method import names
from qweft.method.resolved import ResolvedConfig

__all__ = ["FUNCTIONS", "Function", "make_function"]

FUNCTIONS: dict[str, type[Function]] = {
    kind.name: kind for kind in (CircuitFunction, Perceptron, FourierSeries, FrozenCircuit, ProductCircuit, Bias)
}
"""The circuit and its controls, which show what the circuit contributes, by the name in that of a core."""


def make_function(name: str, at: ResolvedConfig) -> Function:
    """Return the function of this name on a layer."""
    read = {field: getattr(at, field) for field in names.FUNCTIONS[name].fields}
    return FUNCTIONS[name](at.ansatz, **read)
