"""Quantum-weighted fine-tuning of large language models: QWTHN and QTHA as a method of PEFT.

Importing this package registers the method with PEFT. If PEFT is not imported yet, registration waits for its import,
so `qweft --help` does not load PyTorch.
"""

import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from qweft.core.errors import QweftError

if TYPE_CHECKING:  # for type checkers; `__getattr__` imports them
    from qweft.adapter import QwthnConfig as QwthnConfig
    from qweft.adapter import QwthnModel as QwthnModel
    from qweft.adapter import find_bases as find_bases
    from qweft.adapter import hotswap_adapter as hotswap_adapter
    from qweft.api import compare as compare
    from qweft.api import evaluate as evaluate
    from qweft.api import export as export
    from qweft.api import train as train
    from qweft.circuit.description import Circuit as Circuit
    from qweft.circuit.description import c as c
    from qweft.circuit.description import circuit_of as circuit_of
    from qweft.circuit.description import t as t
    from qweft.method.presets import presets as presets
    from qweft.quantum_layer import QuantumLayer as QuantumLayer

__version__ = "0.1.0"

_NAMES = {
    "qweft.adapter": ("QwthnConfig", "QwthnModel", "find_bases", "hotswap_adapter"),
    "qweft.api": ("compare", "evaluate", "export", "train"),
    "qweft.circuit.description": ("Circuit", "c", "circuit_of", "t"),
    "qweft.quantum_layer": ("QuantumLayer",),
    "qweft.method.presets": ("presets",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["QweftError", "__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            if _HOMES[name] != "qweft.api":
                raise
            raise QweftError(f"qweft.{name} needs the package {error.name}; pip install '.[workbench]'") from error
    raise AttributeError(f"module 'qweft' has no attribute {name!r}")


class _WithPeft:
    """Finder of modules by which the import of PEFT ends in that of our method."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return PEFT's spec as the other finders find it; its loader then imports `qweft.adapter`, too."""
        if name != "peft":
            return None
        with suppress(ValueError):  # another thread was faster
            sys.meta_path.remove(self)
        spec: Any = find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (execute(module), import_module("qweft.adapter"))
        return spec


if "peft" in sys.modules:
    import_module("qweft.adapter")
else:
    sys.meta_path.insert(0, _WithPeft())
