"""Private parts of PyTorch, each with the reason why no public one serves. Checked with torch 2.13."""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import torch
from torch import nn

COMPILED = "_orig_mod."
"""In the names of all that `torch.compile` has wrapped. PyTorch names it nowhere."""
SHARDED = "_fsdp_wrapped_module."
"""In the names of all that FSDP has wrapped. PyTorch names it in a private module only."""

version: Callable[[torch.Tensor], int] = attrgetter("_version")
"""How often a tensor was written to in place. Autograd's own check reads it; an inference tensor has none."""


def is_compiled(model: nn.Module) -> bool:
    """Whether `torch.compile` has wrapped this module."""
    return hasattr(model, COMPILED.removesuffix("."))


def is_replica(module: nn.Module) -> bool:
    """Whether the module is a copy that `nn.DataParallel` made for another device; nothing else tells them apart."""
    return bool(getattr(module, "_is_replica", False))


def in_backward() -> bool:
    """Whether a backward pass is running, as it is where a checkpoint is computed again.

    The public hooks tell of one graph's node, and not whether any pass is running.
    """
    return bool(torch._C._current_graph_task_id() != -1)


def tensor_places(module: nn.Module) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a module keeps its own parameters and buffers: a dictionary and a name for each.

    Looking one up there is ten times as fast as through `getattr`, and every generated token looks up all of them.
    """
    for held in (module._parameters, module._buffers):
        for name in held:
            yield held, name
