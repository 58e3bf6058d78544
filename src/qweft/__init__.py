"""Quantum-weighted fine-tuning of large language models: QWTHN and QTHA as a method of PEFT.

Importing this package registers the method with PEFT. If PEFT is not imported yet, registration waits for its import,
so `qweft --help` does not load PyTorch.
"""

import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qweft.errors import QweftError

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
    from qweft.layer import QuantumLayer as QuantumLayer
    from qweft.method.presets import presets as presets

__version__ = "0.1.0"

_NAMES = {
    "qweft.adapter": ("QwthnConfig", "QwthnModel", "find_bases", "hotswap_adapter"),
    "qweft.api": ("compare", "evaluate", "export", "train"),
    "qweft.circuit.description": ("Circuit", "c", "circuit_of", "t"),
    "qweft.layer": ("QuantumLayer",),
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
