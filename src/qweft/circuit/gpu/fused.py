"""The fused GPU engine: one Triton kernel each way, storing nothing of tokens times 2^n; its import needs no Triton."""

import os
import warnings
from functools import lru_cache

import torch

MAX_QUBITS = 12
"""Largest number of qubits for which a tile holds a token's state and its gradient in registers."""


def _interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, for which the variable must be set before Triton is imported."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")


@lru_cache(maxsize=16)
def available(device: torch.device) -> bool:
    """Whether the kernels run there: CUDA with Triton and a C compiler, or a CPU in Triton's interpreter (tests)."""
    if (device.type == "cpu") != _interpreted() or device.type not in ("cpu", "cuda"):
        return False
    try:
        from qweft.circuit.gpu.fused_kernels import values_of

        one = torch.zeros(1, 1, device=device)
        values_of(one, one, one.new_zeros(0, 2), (True,))
    except ImportError:
        return False
    except Exception as error:  # a toolchain may raise anything; the PyTorch path also works, only slower
        warnings.warn(
            f"Triton is installed but cannot compile or run a kernel on {device} ({error}); circuits run on PyTorch's "
            "own operations there, which is slower",
            stacklevel=2,
        )
        return False
    return True
