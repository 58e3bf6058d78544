"""Fixed bases that nobody asked for before the training are found by its first backward pass.

A branch with such bases starts with nothing to add, so the first forward pass need not know them. When the gradient dy
of the loss with respect to the layer's output comes back, the layer takes the leading directions of G = sum over tokens
of dy x^T, and what is trained gets the gradient that it has with these. `qweft.find_bases` takes more rows than one
batch.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from qweft.adapter.directions import bases_of, count_of, give, is_distributed, of_weight, random
from qweft.adapter.prepared import needs_graph
from qweft.adapter.sketch import Directions, GradientSketch
from qweft.circuit.precision import exact_products
from qweft.errors import QweftError
from qweft.internals.torch import in_backward, is_replica

if TYPE_CHECKING:
    from qweft.adapter.layer import QwthnLinear


def is_looking(layer: "QwthnLinear", adapter_name: str) -> bool:
    """Whether the branch adds nothing, for the gradient is still to give it directions; others are given now.

    A checkpoint is computed again as it was the first time, whatever was found since; the older, re-entrant ones are
    computed without a graph the first time, and nothing is drawn for dropout then either.

    Raises:
        QweftError: If it is to be trained and they could not be found here: the layer is compiled, or a replica for
            another device.
    """
    if adapter_name in layer.qwthn_found_now:
        if in_backward():
            return True
        layer.qwthn_found_now.pop(adapter_name, None)
    branch = layer.branch_of(adapter_name)
    if branch.is_found:
        return False
    is_trained = needs_graph(branch.tensors())
    if torch.compiler.is_compiling() or is_replica(layer):
        if not is_trained:
            return False
        raise QweftError(
            "the directions of this adapter's basis have not been found, so it cannot be trained here, compiled or in "
            "a replica: call qweft.find_bases(model, batches) after get_peft_model, with some batches of what it is to "
            "learn"
        )
    kind = bases_of(branch)[0].kind
    if kind != "gradient" and is_trained:
        _give(layer, adapter_name, (of_weight if kind == "weight" else random)(layer, count_of(branch)))
    return kind == "gradient" and (is_trained or layer.training)


def look(result: torch.Tensor, x: torch.Tensor, layer: "QwthnLinear", adapter_name: str) -> torch.Tensor:
    """The layer's output as it is; its gradient gives the branch its directions, if it is trained.

    Args:
        result: Output of the layer so far, (..., d_out).
        x: Its input, (..., d_in).
        layer: The layer.
        adapter_name: The adapter that looks for its directions.
    """
    tensors = layer.branch_of(adapter_name).tensors()
    if not needs_graph(tensors):
        return result
    looked: torch.Tensor = _Look.apply(result, x, layer, adapter_name, *tensors)
    return looked


def _give(layer: "QwthnLinear", adapter_name: str, directions: Directions) -> list[str]:
    """To this adapter and those of the same config object; the names of all that had none."""
    config = layer.qwthn_configs[adapter_name]
    names = [name for name, other in layer.qwthn_configs.items() if other is config]
    names = [name for name in names if not layer.branch_of(name).is_found]
    for name in names:
        give(layer.branch_of(name), directions)
    return names


class _Look(torch.autograd.Function):
    """Nothing is added on the way there; on the way back the branch gets its directions and its gradients."""

    @staticmethod
    def forward(
        ctx: Any, result: torch.Tensor, x: torch.Tensor, layer: "QwthnLinear", adapter_name: str, *tensors: torch.Tensor
    ) -> torch.Tensor:
        """The result."""
        ctx.save_for_backward(x)
        ctx.layer, ctx.adapter_name, ctx.tensors = layer, adapter_name, tensors
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
        there = _find(ctx.layer, ctx.adapter_name, x, dy)
        if there is None:
            inner = [torch.full_like(tensor, torch.nan) for tensor in trained]  # so that a scaler leaves the step out
        elif not there:
            inner = [torch.zeros_like(tensor) for tensor in trained]
        else:
            branch = ctx.layer.branch_of(ctx.adapter_name)
            with torch.enable_grad(), exact_products(x.device):
                compress, expand, *angles = branch.build(tensors)
                c = torch.nn.functional.linear(x.to(compress.dtype), compress)
                features = branch.core.features(c, *angles) * ctx.layer.scaling[ctx.adapter_name]
                y = torch.nn.functional.linear(features, expand)
                inner = torch.autograd.grad(y, trained, dy.to(y.dtype), allow_unused=True, materialize_grads=True)
        found = iter(inner)
        return (dy, None, None, None, *(next(found) if tensor.requires_grad else None for tensor in tensors))


def _find(layer: "QwthnLinear", adapter_name: str, x: torch.Tensor, dy: torch.Tensor) -> bool | None:
    """Whether the branch has its directions now; none where the gradient is not a number.

    In several processes they are those of what all of them see, so that all have the same.
    """
    branch = layer.branch_of(adapter_name)
    if branch.is_found:
        return True
    device = bases_of(branch)[0].weight.device
    sketch = GradientSketch(layer.in_features, layer.out_features, count_of(branch), device)
    sketch.add(x, dy)
    for total in sketch.sums() if is_distributed() else ():
        torch.distributed.all_reduce(total)
    if not sketch.is_finite:
        return None
    if sketch.is_zero:
        return False
    layer.qwthn_found_now |= dict.fromkeys(_give(layer, adapter_name, sketch.directions()), True)
    warnings.warn(
        f"the directions of the bases of adapter {adapter_name!r} are those of its first batch alone; "
        "qweft.find_bases(model, batches) after get_peft_model finds them on more rows",
        stacklevel=2,
    )
    return True
