"""How large a branch may be, told before any memory is taken: a config may come from anybody."""

from contextvars import ContextVar

from qweft.adapter.config import QwthnConfig
from qweft.adapter.parameters import count_parameters
from qweft.errors import QweftError

ALWAYS_ALLOWED = 2**24
"""Parameters of one branch, 64 MiB; small layers may well have a branch larger than themselves."""
TIMES_THE_LAYER = 4
"""Beyond that, a branch may have so many times its layer's parameters: what is in memory already bounds the rest."""

file_elements: ContextVar[int | None] = ContextVar("file_elements", default=None)
"""Numbers in the file that an adapter is about to be loaded from: no branch of it has more."""
SMALL = 2**16
"""A branch of so few parameters is built whatever the file holds; what does not fit is then named tensor by tensor."""


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
    held = file_elements.get()
    if held is not None and count > max(SMALL, held):
        raise QweftError(
            f"a branch on a layer {into} -> {out} would have {count:,} parameters by the adapter's config, but its "
            f"file holds {held:,} numbers in all; load it with the adapter_config.json that it was trained with"
        )
