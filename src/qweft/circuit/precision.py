"""The circuit computes in full float32 or float64, whatever the surrounding model does."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def _without_tf32() -> Iterator[None]:
    """TF32 off for products on CUDA, by the new flag where there is one: the old one cannot be read beside it."""
    matmul = torch.backends.cuda.matmul
    name, off = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, off)
    try:
        yield
    finally:
        setattr(matmul, name, before)


def autocast_enabled(device: torch.device) -> bool:
    """Whether autocast is on for the device's kind; some kinds (meta) have none."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Autocast and TF32 off: bfloat16 or TF32 products would cost an expectation three of its seven digits."""
    if device.type != "cuda" and not autocast_enabled(device):
        yield  # nothing to switch off, and switching is not free
        return
    with torch.autocast(device.type, enabled=False), _without_tf32() if device.type == "cuda" else nullcontext():
        yield


def circuit_dtype(*tensors: torch.Tensor) -> torch.dtype:
    """float64 if any tensor is, else float32: the type a circuit computes in."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
