"""Number types of the circuit, and its constant matrices by type and device."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache

import torch

from qweft.internals.torch import for_later_calls


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Disable TF32 for products on CUDA, by the new flag if there is one: reading the old flag next to it fails."""
    matmul = torch.backends.cuda.matmul
    name, off = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, off)
    try:
        yield
    finally:
        setattr(matmul, name, before)


def autocast_enabled(device: torch.device) -> bool:
    """Whether autocast is on for the device's type; some types (meta) have none."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Disable autocast and TF32: bfloat16 or TF32 products would cost an expectation three of its seven digits."""
    has_tf32 = device.type == "cuda" and not torch.compiler.is_compiling()  # whose flag a compiler cannot trace
    if not has_tf32 and not autocast_enabled(device):
        yield  # nothing to switch off, and switching costs time
        return
    with torch.autocast(device.type, enabled=False), _without_tf32() if has_tf32 else nullcontext():
        yield


def circuit_dtype(*tensors: torch.Tensor) -> torch.dtype:
    """Return the dtype a circuit computes in: float64 if any tensor has it, else float32."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32


@lru_cache(maxsize=256)  # tensors are hashed by identity
@for_later_calls()
def _moved(matrix: torch.Tensor, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return matrix.to(device=device, dtype=dtype)


def constant(matrix: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the matrix in the dtype and on the device of `like`, copied there once."""
    if torch.compiler.is_compiling():  # the compiler stores constants itself and cannot trace a cache
        return matrix.to(device=like.device, dtype=like.dtype)
    return _moved(matrix, like.dtype, like.device)
