"""Build C, E M and angles of branches once a step, all of one form together; the backward pass rebuilds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qweft.adapter.branch import Branch
from qweft.circuit.precision import exact_products
from qweft.internals.torch import for_later_calls, in_backward, is_transformed, version


@dataclass(slots=True, eq=False)
class Prepared:
    """The matrices and angles of one branch, and when they can be used again."""

    compress: torch.Tensor
    expand: torch.Tensor
    angles: tuple[torch.Tensor, ...]
    has_graph: bool
    session: Any = None  # of the model whose calls check it; `None` where a layer built its own
    few: Any = None

    @property
    def is_checked(self) -> bool:
        """Whether the model's call that runs now has built these, or found the parameters unchanged."""
        return self.session is not None and bool(self.session.is_open)

    def serves_any_graph(self) -> bool:
        """Whether these hold for this call, whichever parameters need gradients: the quick answer of most calls."""
        return self.is_checked and (self.has_graph or not torch.is_grad_enabled())

    def serves(self, graph: bool) -> bool:
        """Whether these hold for a call that needs a graph, or none."""
        if self.is_checked:
            return self.has_graph or not graph
        if not graph:
            return False  # nobody has checked the parameters since
        # a checkpoint runs its layers again in the backward pass, after the model's call
        return self.has_graph and in_backward()


def needs_graph(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether any of the tensors needs a gradient now."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def prepare(branches: Sequence[Branch], graph: bool) -> list[Prepared]:
    """Build branches of one form together."""
    # inference tensors could not take part in a graph later
    with torch.inference_mode(False), torch.set_grad_enabled(graph):
        flat = _BatchedBuild.apply(branches[0], len(branches), *(t for each in branches for t in each.tensors()))
    each = len(flat) // len(branches)
    return [
        Prepared(flat[start], flat[start + 1], flat[start + 2 : start + each], graph)
        for start in range(0, len(flat), each)
    ]


def _stacks(tensors: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
    """Turn the tensors of `count` branches, branch by branch, into one stack for each index in a branch."""
    each = len(tensors) // count
    with exact_products(tensors[0].device):  # autocast in float16 stacks no bfloat16, which directions are
        return [torch.stack(tuple(tensors[place::each])) for place in range(each)]


class _BatchedBuild(torch.autograd.Function):
    """`Branch.build` for several branches: from their tensors in a row to their matrices and angles in a row."""

    @staticmethod
    def forward(ctx: Any, branch: Branch, count: int, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.branch, ctx.count, ctx.tensors = branch, count, tensors
        ctx.versions = [0 if tensor.is_inference() else version(tensor) for tensor in tensors]
        built = [part.unbind() for part in branch.build(_stacks(tensors, count))]
        if branch.compress.is_fixed():
            ctx.mark_non_differentiable(*built[0])
        return tuple(part[place] for place in range(count) for part in built)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        tensors, count = ctx.tensors, ctx.count
        each, parts = len(tensors) // count, len(gradients) // count
        reached = [b for b in range(count) if any(g is not None for g in gradients[b * parts : (b + 1) * parts])]
        places = [branch * each + place for branch in reached for place in range(each)]
        for at in places:
            if not tensors[at].is_inference() and version(tensors[at]) != ctx.versions[at]:
                raise RuntimeError(
                    f"an adapter's parameter of shape {tuple(tensors[at].shape)} was changed in place between the "
                    "forward and the backward pass, so its gradient would be wrong; call backward() before the "
                    "optimizer's step(), or forward again after it"
                )
        found: list[torch.Tensor | None] = [None] * len(tensors)
        if reached:
            again = torch.is_grad_enabled()  # whether this pass is to be differentiated, too
            # inside a transform, as vmap over gradients of the output, nothing may be asked to require a gradient
            has_graph = again or is_transformed()
            rows = [tensors[at] if has_graph else tensors[at].detach() for at in places]
            with torch.set_grad_enabled(has_graph), for_later_calls():
                stacks = _stacks(rows, len(reached))
            # fixed tensors get none: the directions of a basis can be as large as all that is trained
            wanted = [p for p in range(each) if any(ctx.needs_input_grad[2 + b * each + p] for b in reached)]
            for place in wanted:
                if not stacks[place].requires_grad:
                    stacks[place].requires_grad_()
            # no part of a transform that runs this pass
            with torch.enable_grad(), for_later_calls():
                built = ctx.branch.build(stacks)
            ends = [part for part in range(parts) if built[part].requires_grad]
            outer = [_row(gradients[part::parts], reached, built[part]) for part in ends]
            with exact_products(rows[0].device):
                inner = torch.autograd.grad(
                    [built[part] for part in ends],
                    [stacks[place] for place in wanted],
                    outer,
                    create_graph=again,
                    allow_unused=True,
                )
            for place, stack in zip(wanted, inner, strict=True):
                for branch, gradient in zip(reached, () if stack is None else stack.unbind(), strict=False):
                    found[branch * each + place] = gradient
        return (None, None, *found)


def _row(gradients: Sequence[torch.Tensor | None], reached: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """Stack the gradients of one output over the branches reached, zero where a branch received none."""
    rows = [gradients[branch] for branch in reached]
    with exact_products(like.device):
        return torch.stack([torch.zeros_like(like[0]) if row is None else row for row in rows])
