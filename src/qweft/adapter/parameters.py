"""How many parameters a branch trains, from shapes alone."""

import math

from qweft.adapter.branch import directions_in, modes_for, outputs_in
from qweft.adapter.config import QwthnConfig
from qweft.adapter.core_names import TWINS, form_of, function_of
from qweft.adapter.functions import make_function
from qweft.tensornet import parameter_count


def count_parameters(config: QwthnConfig, into: int, out: int, r: int | None = None) -> dict[str, int]:
    """Trained parameters of one branch into -> out, by part.

        tensor network   sum_k B_{k-1} j_k i_k B_k of each operator
        linear maps      width r for each operator and subspace, size r for each dense map, the share of size r for
                         a sparse one, r^2 for K, r qubits for Q
        circuit          4 qubits L (a single qubit: 2 L), or what a twin in its place trains

    Args:
        config: The adapter.
        into: d_in.
        out: d_out.
        r: The layer's rank where it differs from the config's.

    Returns:
        {"tensor_network", "linear", "circuit"}, with "twin" for "circuit" where a twin stands in its place.

    Raises:
        QweftError: If the config's modes do not cover a size.
    """
    r = r or config.r
    width = modes_for(config, config.width)
    network = linear = 0
    if config.compress == "mpo":
        network += parameter_count(width.modes, modes_for(config, into).modes, config.bond_dimension)
        linear += r * config.width
    elif config.compress == "subspace":
        linear += r * directions_in(config, into, out)
    elif config.compress == "dense":
        linear += r * into
    if config.expand == "mpo":
        network += parameter_count(modes_for(config, out).modes, width.modes, config.bond_dimension)
        linear += r * config.width
    elif config.expand == "subspace":
        linear += r * directions_in(config, into, out)
    elif config.expand == "sparse":
        linear += r * outputs_in(config, out)
    elif config.expand == "dense":
        linear += r * out
    has_k = config.core == "linear" or form_of(config.core) == "linear"
    has_q = function_of(config.core) is not None and form_of(config.core) != "weighted"
    linear += r * r * has_k + r * config.qubits_on(r) * has_q
    function = "twin" if function_of(config.core) in TWINS else "circuit"
    return {"tensor_network": network, "linear": linear, function: function_parameters(config, r)}


def function_parameters(config: QwthnConfig, r: int) -> int:
    """What the circuit of a layer of rank r trains, or a twin in its place; 0 where there is neither."""
    name = function_of(config.core)
    if name is None:
        return 0
    function = make_function(name, config.qubits_on(r), config.depth_on(r), config.reupload, config.fourier_terms)
    return sum(math.prod(shape) for shape in function.trained.values())
