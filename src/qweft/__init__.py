"""Quantum-weighted fine-tuning of large language models: QWTHN and QTHA as a method of PEFT.

Importing this package registers the method with PEFT. If PEFT is not imported yet, registration waits for its import,
so `qweft --help` does not load PyTorch.
"""

import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qweft.errors import QweftError

if TYPE_CHECKING:
    from qweft.adapter import QwthnConfig, QwthnModel, find_bases, hotswap_adapter
    from qweft.api import compare, evaluate, export, train
    from qweft.circuit.description import Circuit, c, circuit_of, t
    from qweft.layer import QuantumLayer
    from qweft.method.presets import presets

__version__ = "0.1.0"

__all__ = [
    "Circuit",
    "QuantumLayer",
    "QweftError",
    "QwthnConfig",
    "QwthnModel",
    "__version__",
    "c",
    "circuit_of",
    "compare",
    "evaluate",
    "export",
    "find_bases",
    "hotswap_adapter",
    "presets",
    "t",
    "train",
]

_HOMES = {
    "Circuit": "qweft.circuit.description",
    "QuantumLayer": "qweft.layer",
    "QwthnConfig": "qweft.adapter",
    "QwthnModel": "qweft.adapter",
    "c": "qweft.circuit.description",
    "circuit_of": "qweft.circuit.description",
    "compare": "qweft.api",
    "evaluate": "qweft.api",
    "export": "qweft.api",
    "find_bases": "qweft.adapter",
    "hotswap_adapter": "qweft.adapter",
    "presets": "qweft.method.presets",
    "t": "qweft.circuit.description",
    "train": "qweft.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            if _HOMES[name] != "qweft.api":
                raise
            raise QweftError(f"qweft.{name} needs the package {error.name}; pip install '.[workbench]'") from error
    raise AttributeError(f"module 'qweft' has no attribute {name!r}")


class _UntilPeft:
    """Finder of modules that gives its place to wrapt's hook once PEFT is looked for.

    Importing wrapt takes as long as a short command, and most commands do not look for PEFT.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return what the other finders find, so that wrapt's hook belongs to it."""
        if name != "peft":
            return None
        with suppress(ValueError):  # another thread was faster
            sys.meta_path.remove(self)
        _register_with_peft()
        return next((spec for each in list(sys.meta_path) if (spec := each.find_spec(name, path, target))), None)


def _register_with_peft() -> None:
    from wrapt import register_post_import_hook

    register_post_import_hook(lambda _: import_module("qweft.adapter"), "peft")


if "peft" in sys.modules:
    _register_with_peft()
else:
    sys.meta_path.insert(0, _UntilPeft())
