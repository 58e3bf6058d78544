"""A circuit in the languages and libraries of others, one module for each.

Importing this package imports no module of it, so that `qweft circuit --help` reads the names without PyTorch.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qweft.circuit.formats.common import Format
    from qweft.circuit.formats.openqasm import from_openqasm3, to_openqasm2, to_openqasm3
    from qweft.circuit.formats.origin import to_originir
    from qweft.circuit.formats.pennylane import to_pennylane
    from qweft.circuit.formats.qiskit import to_qiskit

    FORMATS: Mapping[str, Format]

TEXTS = {
    "qasm3": "openqasm.QASM3",
    "qasm2": "openqasm.QASM2",
    "originir": "origin.ORIGINIR",
}
"""Text formats: name on the command line to module and its `Format`. A new format is a module and an entry here."""

_FUNCTIONS = {
    "from_openqasm3": "openqasm.from_openqasm3",
    "to_openqasm2": "openqasm.to_openqasm2",
    "to_openqasm3": "openqasm.to_openqasm3",
    "to_originir": "origin.to_originir",
    "to_pennylane": "pennylane.to_pennylane",
    "to_qiskit": "qiskit.to_qiskit",
}

__all__ = [
    "FORMATS",
    "from_openqasm3",
    "names",
    "to_openqasm2",
    "to_openqasm3",
    "to_originir",
    "to_pennylane",
    "to_qiskit",
]


def names() -> tuple[str, ...]:
    """Return the names of all text formats, in the order of lists."""
    return tuple(TEXTS)


def __getattr__(name: str) -> Any:
    """Return `FORMATS`, every text format by its name, or a function of `__all__`, importing its module."""
    if name == "FORMATS":
        return {text: _load(place) for text, place in TEXTS.items()}
    if name in _FUNCTIONS:
        return _load(_FUNCTIONS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load(place: str) -> Any:
    module, _, attribute = place.partition(".")
    return getattr(import_module(f"{__name__}.{module}"), attribute)
