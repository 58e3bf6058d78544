"""Two configs that are to mean one set of tensors."""

from qweft.adapter.config import QwthnConfig
from qweft.errors import QweftError

STRUCTURE = (
    "compress",
    "core",
    "expand",
    "r",
    "rank_pattern",
    "width",
    "share",
    "bond_dimension",
    "modes",
    "circuit_layers",
    "reupload",
    "fourier_terms",
    "qubits",
    "dropout",
    "bias",
    "trainable_token_indices",
)
"""What stands in the model already when tensors come; equal shapes do not tell all of it."""


def check_same_structure(new: QwthnConfig, old: QwthnConfig, what: str) -> None:
    """Compare the config of an adapter with that of the one whose place its tensors are to take.

    Raises:
        QweftError: Naming the first field that differs.
    """
    if not isinstance(new, QwthnConfig):
        raise QweftError(f"{what} is of type {new.peft_type}, which cannot take the place of a QWTHN adapter")
    for name in STRUCTURE:
        if getattr(old, name) != getattr(new, name):
            raise QweftError(
                f"{what} cannot take the place of the one that is here: {name} is {getattr(new, name)!r} there and "
                f"{getattr(old, name)!r} here; load it under another name with load_adapter"
            )
