"""How many parameters a branch trains, from shapes alone."""

from qweft.adapter.branch import modes_for
from qweft.adapter.config import QwthnConfig
from qweft.circuit import crz_ring_ansatz
from qweft.tensornet import parameter_count


def count_parameters(config: QwthnConfig, into: int, out: int, r: int | None = None) -> dict[str, int]:
    """Trained parameters of one branch into -> out, by part.

        tensor network   sum_k B_{k-1} j_k i_k B_k of each operator
        linear maps      width r for each operator, size r for each dense map, r^2 for each of K and Q
        circuit          4 r L (a single qubit: 2 L)

    Args:
        config: The adapter.
        into: d_in.
        out: d_out.
        r: The layer's rank where it differs from the config's.

    Returns:
        {"tensor_network", "linear", "circuit"}.

    Raises:
        QweftError: If the config's modes do not cover a size.
    """
    r = r or config.r
    width = modes_for(config, config.width)
    network = linear = circuit = 0
    if config.compress == "mpo":
        network += parameter_count(width.modes, modes_for(config, into).modes, config.bond_dimension)
        linear += r * config.width
    else:
        linear += r * into
    if config.expand == "mpo":
        network += parameter_count(modes_for(config, out).modes, width.modes, config.bond_dimension)
        linear += r * config.width
    else:
        linear += r * out
    if config.core.startswith("quantum"):
        circuit = crz_ring_ansatz(r, config.circuit_layers or r, config.reupload).parameters
    linear += r * r * {"linear": 1, "quantum": 1, "quantum_linear": 2}.get(config.core, 0)
    return {"tensor_network": network, "linear": linear, "circuit": circuit}
