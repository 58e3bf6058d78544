"""How large a branch may be, told before any memory is taken: a config may come from anybody."""

from qweft.adapter.config import QwthnConfig
from qweft.adapter.parameters import count_parameters
from qweft.errors import QweftError

ALWAYS_ALLOWED = 2**24
"""Parameters of one branch, 64 MiB; small layers may well have a branch larger than themselves."""
TIMES_THE_LAYER = 4
"""Beyond that, a branch may have so many times its layer's parameters: what is in memory already bounds the rest."""


def check_size(config: QwthnConfig, into: int, out: int, r: int) -> None:
    """Count the parameters of a branch into -> r -> out.

    Raises:
        QweftError: If there are absurdly many.
    """
    try:
        count = sum(count_parameters(config, into, out, r).values())
    except ValueError:  # modes that do not fit: building the branch says which
        return
    most = max(ALWAYS_ALLOWED, TIMES_THE_LAYER * into * out)
    if count > most:
        raise QweftError(
            f"a branch on a layer {into} -> {out} would have {count:,} parameters with r = {r}, width = "
            f"{config.width}, bond_dimension = {config.bond_dimension}, circuit_layers = {config.circuit_layers}; at "
            f"most {most:,} are built: choose them smaller"
        )
