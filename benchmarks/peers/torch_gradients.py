"""What every peer with a torch interface does around its circuit."""

from collections.abc import Callable

import numpy as np
import torch

Run = Callable[[], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def forward_backward(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x: np.ndarray, t: np.ndarray, w: np.ndarray
) -> Run:
    """A run of function(inputs, angles) -> (tokens, n) and of autograd through it."""
    inputs, angles, weights = torch.from_numpy(x), torch.from_numpy(t), torch.from_numpy(w)

    def run() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        leaves = (inputs.detach().requires_grad_(), angles.detach().requires_grad_())
        values = function(*leaves)
        grad_x, grad_t = torch.autograd.grad(values, leaves, weights)
        return values.detach(), grad_x, grad_t

    return run
