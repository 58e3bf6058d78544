"""Private parts of PyTorch, each with the reason why no public one suffices. Checked with torch 2.13."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import nn

version: Callable[[torch.Tensor], int] = attrgetter("_version")
"""Number of in-place writes to a tensor, which autograd's own check reads. An inference tensor has none."""


def is_replica(module: nn.Module) -> bool:
    """Whether the module is a copy that `nn.DataParallel` made for another device; no public attribute shows it."""
    return bool(getattr(module, "_is_replica", False))


def in_backward() -> bool:
    """Whether any backward pass is running; the public hooks report a node of one graph."""
    return bool(torch._C._current_graph_task_id() != -1)


def in_forward_mode() -> bool:
    """Whether a level of forward-mode differentiation is entered. No public function tells it."""
    level: int = torch.autograd.forward_ad._current_level
    return level >= 0


def is_transformed() -> bool:
    """Whether `torch.func`, forward-mode differentiation or `torch.jit.trace` follows plain operations."""
    # no public function tells it
    return in_forward_mode() or bool(torch._C._are_functorch_transforms_active()) or torch.jit.is_tracing()


def followed_backward(gradient: torch.Tensor) -> bool:
    """Whether a backward pass is differentiated again, carries tangents, or is made for many gradients at once.

    Such a pass must be of plain operations. `is_grads_batched` and `vectorize` batch it by an older transform than
    those of `torch.func`, which no public function tells.
    """
    is_batched = torch._C._functorch.is_legacy_batchedtensor(gradient)
    return torch.is_grad_enabled() or is_transformed() or bool(is_batched)


@contextmanager
def for_later_calls() -> Iterator[None]:
    """Make constants that may be kept: as if no transform of `torch.func` and no inference mode were entered."""
    with torch.inference_mode(False), torch._C._DisableFuncTorch():
        yield


@contextmanager
def in_new_graph() -> Iterator[None]:
    """Record a graph, in an operator of `torch.library` too, inside which no public function can switch it on."""
    switched_off = torch._C._dispatch_tls_local_exclude_set()
    for key in ("AutogradFunctionality", "AutogradOther", "ADInplaceOrView"):
        switched_off = switched_off.remove(getattr(torch._C.DispatchKey, key))
    with torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), switched_off), torch.enable_grad():
        yield


def places(module: nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    """Yield where each tensor of a module is held, its name there, and the tensor."""
    for held in (module._parameters, module._buffers):
        for name, tensor in held.items():
            if tensor is not None:
                yield held, name, tensor
