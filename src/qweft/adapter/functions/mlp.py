"""A small perceptron in place of the circuit, or its bias alone."""

import torch
from torch import nn
from torch.nn.functional import silu

from qweft.adapter.functions.base import Function
from qweft.circuit import Circuit

SILU_GAIN = 1.68
"""1 / rms of SiLU of a standard normal number."""


class Perceptron(Function):
    """t(c) = W_k silu(... silu(W_1 c + b_1) ...) + b_k, with W_j of shape (r, r) and b_j of shape (r,).

    k is the number of linear layers, at least 2, that brings k (r^2 + r) nearest to the circuit's number of angles. The
    layers have biases because a circuit's output at c = 0 depends on its angles, too.

    Start: W_j kaiming-uniform, or with the scaled start W_1 = sqrt(U) I and the others 1.68 I, which preserves the rms
    through a SiLU. b_k = cos(phase), the value at c = 0 of the circuit without its CRZ gates; the other biases are
    zero.
    """

    name = "mlp"
    called = "its classical twin {}"
    report = "a small neural network (linear maps with SiLU between them), as near to the circuit in size as it can be"
    words = "a perceptron of two or more linear layers with SiLU between them"

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        r = self.r
        self.depth = max(2, round(ansatz.parameters / (r * r + r)))
        self.trained = {"mlp_weights": (self.depth, r, r), "mlp_biases": (self.depth, r)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Return weights (k, r, r) and biases (k, r)."""
        weights = angles.new_zeros(self.trained["mlp_weights"])
        biases = angles.new_zeros(self.trained["mlp_biases"])
        biases[-1] = self.phases(angles).cos()
        if start == "scaled":
            weights[:] = SILU_GAIN * torch.eye(self.r)
            weights[0] = torch.eye(self.r) / self.input_scale
        else:
            generator = self.generator(angles)
            for weight in weights:
                nn.init.kaiming_uniform_(weight, generator=generator)
        return {"mlp_weights": weights, "mlp_biases": biases}

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """Return t(c), (..., r)."""
        weights, biases = prepared
        x = c.to(weights.dtype)
        for place in range(self.depth):
            x = (silu(x) if place else x) @ weights[place].t() + biases[place]
        return x.to(c.dtype)


class Bias(Function):
    """t(c) = b, trained numbers b of shape (r,): a circuit whose output does not depend on the token.

    Start: b = cos(phase), the value at c = 0 of the circuit without its CRZ gates.
    """

    name = "bias"
    words = "numbers that do not depend on the token"
    called = "{} (a constant in place of its circuit)"
    report = "trained numbers that are the same for every token: what is left of a circuit that ignores its input"

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.trained = {"constant": (self.r,)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Return b."""
        return {"constant": self.phases(angles).cos()}

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """Return b for every token, (..., r). The zero keeps C in the graph, so that each parameter has a gradient."""
        (constant,) = prepared
        return (0 * c + constant).to(c.dtype)
