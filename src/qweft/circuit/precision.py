"""The circuit computes in full float32 or float64, whatever the surrounding model does."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Autocast and TF32 off: bfloat16 or TF32 products would cost an expectation three of its seven digits."""
    tf32 = torch.backends.cuda.matmul.allow_tf32
    with torch.autocast(device.type, enabled=False):
        if device.type == "cuda" and tf32:
            torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            if device.type == "cuda" and tf32:
                torch.backends.cuda.matmul.allow_tf32 = tf32


def circuit_dtype(*tensors: torch.Tensor) -> torch.dtype:
    """float64 if any tensor is, else float32: the type a circuit computes in."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
