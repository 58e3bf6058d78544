"""How many parameters a branch trains, from its config and a layer's sizes alone."""

import math

from qweft.adapter.cores import count_matrices
from qweft.adapter.fixed_maps import COMPRESS, EXPAND
from qweft.adapter.functions import Function, make_function
from qweft.method.fields import QwthnFields
from qweft.method.names import TWINS, function_of


def count_parameters(config: QwthnFields, into: int, out: int, r: int | None = None) -> dict[str, int]:
    """Count the trained parameters of one branch into -> out, by part.

        tensor network   sum_k B_{k-1} j_k i_k B_k of each operator
        linear maps      width r for each operator, k r for each subspace with k = min(width, d_in, d_out),
                         size r for each dense map, round(share d_out) r for a sparse one, r^2 for K, r qubits for Q
        circuit          4 qubits L (a single qubit: 2 L), or the trained parameters of a classical control

    Args:
        config: Config of the adapter.
        into: d_in.
        out: d_out.
        r: Rank of the layer. `None` means the config's r.

    Returns:
        {"tensor_network", "linear", "circuit"}; "twin" instead of "circuit" for a core with a classical control.

    Raises:
        QweftError: If the config's modes do not cover a size.
    """
    at = config.resolved(r)
    compress, expand = (kind.trained_on(at, into, out) for kind in (COMPRESS[at.compress], EXPAND[at.expand]))
    linear = compress.linear + expand.linear + count_matrices(at.core, at.r, at.qubits)
    function = "twin" if function_of(at.core) in TWINS else "circuit"
    network = compress.tensor_network + expand.tensor_network
    return {"tensor_network": network, "linear": linear, function: function_parameters(config, at.r)}


def function_parameters(config: QwthnFields, r: int) -> int:
    """Count the trained parameters of the circuit of a layer of rank r, or of its classical control; 0 for neither."""
    if function_of(config.core) is None:
        return 0
    return sum(math.prod(shape) for shape in function_on(config, r).trained.values())


def function_on(config: QwthnFields, r: int) -> Function:
    """Return the function in the core of a layer of rank r; the core must have one."""
    at = config.resolved(r)
    name = function_of(at.core)
    assert name is not None
    return make_function(name, at.qubits, at.circuit_layers, at.reupload, at.fourier_terms)
