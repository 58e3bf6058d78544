"""Finds fixed directions in the first backward pass if `qweft.find_bases` was not called before training.

A branch without directions adds nothing, so the first forward pass does not need them. When the gradient dy of the loss
arrives, the branch takes the leading directions of G = sum over tokens of dy x^T, and its gradient with them.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qweft.adapter.branch import Branch
from qweft.adapter.build import needs_graph
from qweft.adapter.directions import GradientSketch, give, is_distributed, wanted_by
from qweft.adapter.maps import Directions
from qweft.circuit.precision import exact_products
from qweft.errors import QweftError
from qweft.internals.torch import followed_backward, in_backward, is_replica, is_transformed


@dataclass(slots=True, eq=False)
class LazyBasis:
    """The search for the directions of one branch that is called before they are known."""

    adapter_name: str
    branch: Branch
    scaling: float
    sharing: Sequence[Branch]
    without_data: Callable[[str, int], Directions]

    def is_searching(self) -> bool:
        """Whether the branch adds nothing because its directions come from the next gradient; other kinds are set now.

        A recomputed checkpoint behaves as it did the first time, whatever was found since.
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
        if torch.compiler.is_compiling() or is_replica(branch.compress) or is_transformed():
            if not is_trained:
                return False
            raise QweftError(
                "the directions of this adapter's basis have not been found, so it cannot be trained here, compiled, "
                "transformed or in a replica: call qweft.find_bases(model, batches) after get_peft_model, with some "
                "batches of what it is to learn"
            )
        kind = branch.bases[0].kind
        if kind != "gradient" and is_trained:
            self._give(self.without_data(kind, wanted_by(branch)))
        return kind == "gradient" and (is_trained or branch.compress.training)

    def search(self, result: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output unchanged; its gradient gives a trained branch its directions."""
        tensors = self.branch.tensors()
        if not needs_graph(tensors):
            return result
        searched: torch.Tensor = _Search.apply(result, x, self, *tensors)
        return searched

    def find(self, x: torch.Tensor, dy: torch.Tensor) -> bool | None:
        """Return whether the branch has its directions now, or `None` if the gradient contains NaN or infinity."""
        if self.branch.is_found:
            return True
        device = self.branch.bases[0].weight.device
        sketch = GradientSketch(x.shape[-1], dy.shape[-1], wanted_by(self.branch), device)
        sketch.add(x, dy)
        # several processes sum their gradients, so that all get the same directions
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
        """Set directions in the branches that share them; return those that had none."""
        missing = [branch for branch in self.sharing if not branch.is_found]
        for branch in missing:
            give(branch, directions)
        return missing


class _Search(torch.autograd.Function):
    """The identity forward; backward it finds the branch's directions and computes its gradients."""

    @staticmethod
    def forward(
        ctx: Any, result: torch.Tensor, x: torch.Tensor, basis: LazyBasis, *tensors: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.basis, ctx.tensors = basis, tensors
        return result.clone()  # later code may write to it in place, which a view made here would not allow

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        if followed_backward(dy):
            raise QweftError(
                "the directions of this adapter's basis would be found in a backward pass that is differentiated "
                "again, carries tangents, or is made for many gradients at once: call "
                "qweft.find_bases(model, batches) before it"
            )
        (x,) = ctx.saved_tensors
        # not the parameters themselves, whose hooks would run here, too
        tensors = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in ctx.tensors]
        trained = [tensor for tensor in tensors if tensor.requires_grad]
        inner: Sequence[torch.Tensor]
        there = ctx.basis.find(x, dy)
        if there is None:
            inner = [torch.full_like(tensor, torch.nan) for tensor in trained]  # a gradient scaler then skips the step
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
