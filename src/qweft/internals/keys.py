"""Private parts of names in PyTorch's modules, without importing it. Checked with torch 2.13."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

COMPILED = "_orig_mod."
"""Part of the names of everything that `torch.compile` has wrapped. PyTorch defines no constant for it."""
SHARDED = "_fsdp_wrapped_module."
"""Part of the names of everything that FSDP has wrapped. PyTorch defines it in a private module only."""


def is_compiled(model: "nn.Module") -> bool:
    """Whether `torch.compile` has wrapped this module."""
    return hasattr(model, COMPILED.removesuffix("."))


def is_compiled_in_place(module: "nn.Module") -> bool:
    """Whether `module.compile()` was called, of which no public attribute tells."""
    return getattr(module, "_compiled_call_impl", None) is not None
