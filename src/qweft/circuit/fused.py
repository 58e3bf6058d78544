"""The fused engine for GPUs: one Triton kernel forward and one backward; importing this does not need Triton.

Nothing that grows with tokens times 2^n is stored, in the kernels or between them.
"""

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
    """Whether the kernels run there: on CUDA with Triton, or on a CPU in Triton's interpreter (for tests).

    This tries a launch on one token, since Triton needs a C compiler, which a machine may lack.
    """
    if (device.type == "cpu") != _interpreted() or device.type not in ("cpu", "cuda"):
        return False
    try:
        import triton  # noqa: F401

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


def values_of(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations (tokens, n) without a graph."""
    from qweft.circuit.fused_kernels import launch_forward

    return launch_forward(inputs.contiguous(), _table(rotations, diagonals), uploads)


def gradients_of(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gradients to inputs (tokens, n), rotations (k + 1, n) and diagonals (k, 2^n)."""
    from qweft.circuit.fused_kernels import launch_backward

    table = _table(rotations, diagonals)
    to_inputs, to_angles = launch_backward(inputs.contiguous(), table, uploads, gradient.contiguous())
    to_rotations, to_diagonals = to_angles.split([rotations.numel(), diagonals.numel()])
    return to_inputs, to_rotations.view_as(rotations), to_diagonals.view_as(diagonals)


def _table(rotations: torch.Tensor, diagonals: torch.Tensor) -> torch.Tensor:
    """Return cosine and sine of each half angle of the rotations, then of each angle of the diagonals."""
    angles = torch.cat([rotations.flatten() / 2, diagonals.flatten()])
    return torch.stack([angles.cos(), angles.sin()], 1)
