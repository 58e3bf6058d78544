"""Quantum-weighted fine-tuning of large language models: QWTHN and QTHA as a method of PEFT.

Importing this package registers the method with PEFT. If PEFT is not imported yet, registration waits for its import,
so `qweft --help` does not load PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

from qweft.errors import QweftError

if TYPE_CHECKING:
    from qweft.adapter import QwthnConfig, QwthnModel, find_bases, hotswap_adapter
    from qweft.method.presets import presets

__version__ = "0.1.0"

__all__ = ["QweftError", "QwthnConfig", "QwthnModel", "__version__", "find_bases", "hotswap_adapter", "presets"]

_HOMES = {
    "QwthnConfig": "qweft.adapter",
    "QwthnModel": "qweft.adapter",
    "find_bases": "qweft.adapter",
    "hotswap_adapter": "qweft.adapter",
    "presets": "qweft.method.presets",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'qweft' has no attribute {name!r}")


register_post_import_hook(lambda _: import_module("qweft.adapter"), "peft")
