"""Fixed directions that nobody asked for before training are found by the first backward pass.

A branch with such directions adds nothing at first, so the first forward pass does not need them. When the gradient dy
of the loss with respect to the layer's output comes back, the branch takes the leading directions of G = sum over
tokens of dy x^T. What is trained gets the gradient that it has with these. `qweft.find_bases` takes more rows than one
batch.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qweft.adapter.branch import Branch
from qweft.adapter.build import needs_graph
from qweft.adapter.directions import GradientSketch, give, is_distributed, wanted_by
from qweft.adapter.fixed_maps import Directions
from qweft.circuit.precision import exact_products
from qweft.errors import QweftError
from qweft.internals.torch import in_backward, is_replica


@dataclass(slots=True, eq=False)
class LazyBasis:
    """The search for the directions of one branch, made where it is called before they are known.

    Args:
        adapter_name: The adapter, for what the user is told.
        branch: Its parts.
        scaling: s = alpha / r.
        sharing: All branches on the layer of the same config object, which have the same directions.
        without_data: Gives directions that need no gradient: of a kind, so many.
    """

    adapter_name: str
    branch: Branch
    scaling: float
    sharing: Sequence[Branch]
    without_data: Callable[[str, int], Directions]

    def is_searching(self) -> bool:
        """Whether the branch adds nothing, since the gradient is still to give it directions; others are given now.

        A checkpoint is computed again as it was the first time, whatever was found since. Re-entrant checkpoints are
        computed without a graph the first time, and nothing is drawn for dropout then either.

        Raises:
            QweftError: If it is to be trained and directions cannot be found here: the layer is compiled, or a replica
                for another device.
        """
        branch = self.branch
        if any(part.found_in_backward for part in branch.bases):
            if in_backward():
                return True
            for part in branch.bases:
                part.found_in_backward = False
        if branch.is_found:
            return False
        is_trained = needs_graph(branch.tensors())
        if torch.compiler.is_compiling() or is_replica(branch.compress):
            if not is_trained:
                return False
            raise QweftError(
                "the directions of this adapter's basis have not been found, so it cannot be trained here, compiled or "
                "in a replica: call qweft.find_bases(model, batches) after get_peft_model, with some batches of what "
                "it is to learn"
            )
        kind = branch.bases[0].kind
        if kind != "gradient" and is_trained:
            self._give(self.without_data(kind, wanted_by(branch)))
        return kind == "gradient" and (is_trained or branch.compress.training)

    def search(self, result: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output as it is; its gradient gives the branch its directions, if it is trained.

        Args:
            result: Output of the layer so far, (..., d_out).
            x: Its input, (..., d_in).
        """
        tensors = self.branch.tensors()
        if not needs_graph(tensors):
            return result
        searched: torch.Tensor = _Search.apply(result, x, self, *tensors)
        return searched

    def find(self, x: torch.Tensor, dy: torch.Tensor) -> bool | None:
        """Whether the branch has its directions now; `None` where the gradient is not a number.

        In several processes they are those of what all of them see, so that all have the same.
        """
        if self.branch.is_found:
            return True
        device = self.branch.bases[0].weight.device
        sketch = GradientSketch(x.shape[-1], dy.shape[-1], wanted_by(self.branch), device)
        sketch.add(x, dy)
        for total in sketch.sums() if is_distributed() else ():
            torch.distributed.all_reduce(total)
        if not sketch.is_finite:
            return None
        if sketch.is_zero:
            return False
        for given in self._give(sketch.directions()):
            for part in given.bases:
                part.found_in_backward = True
        warnings.warn(
            f"the directions of the bases of adapter {self.adapter_name!r} are those of its first batch alone; "
            "qweft.find_bases(model, batches) after get_peft_model finds them on more rows",
            stacklevel=2,
        )
        return True

    def _give(self, directions: Directions) -> list[Branch]:
        """Give directions to the branches that share them; returns those that had none."""
        missing = [branch for branch in self.sharing if not branch.is_found]
        for branch in missing:
            give(branch, directions)
        return missing


class _Search(torch.autograd.Function):
    """Nothing is added on the way there; on the way back the branch gets its directions and its gradients."""

    @staticmethod
    def forward(
        ctx: Any, result: torch.Tensor, x: torch.Tensor, basis: LazyBasis, *tensors: torch.Tensor
    ) -> torch.Tensor:
        """The result."""
        ctx.save_for_backward(x)
        ctx.basis, ctx.tensors = basis, tensors
        return result.clone()  # whatever follows may write to it, which it may not to a view that is made here

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Of the result dy, of what is trained its gradient with the directions of dy, of the input none: E(h) is 0."""
        (x,) = ctx.saved_tensors
        # not the parameters themselves, whose hooks would run here, too
        tensors = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in ctx.tensors]
        trained = [tensor for tensor in tensors if tensor.requires_grad]
        inner: Sequence[torch.Tensor]
        there = ctx.basis.find(x, dy)
        if there is None:
            inner = [torch.full_like(tensor, torch.nan) for tensor in trained]  # so that a scaler leaves the step out
        elif not there:
            inner = [torch.zeros_like(tensor) for tensor in trained]
        else:
            branch = ctx.basis.branch
            with torch.enable_grad(), exact_products(x.device):
                compress, expand, *angles = branch.build(tensors)
                c = torch.nn.functional.linear(x.to(compress.dtype), compress)
                features = branch.core.features(c, *angles) * ctx.basis.scaling
                y = torch.nn.functional.linear(features, expand)
                inner = torch.autograd.grad(y, trained, dy.to(y.dtype), allow_unused=True, materialize_grads=True)
        found = iter(inner)
        return (dy, None, None, *(next(found) if tensor.requires_grad else None for tensor in tensors))
