"""The linear halves of the branch, C and E: dense, or a matrix product operator with a small linear map.

Whatever they are made of, they are contracted into one small dense matrix, once a step, so that a token costs what it
costs in LoRA.
"""

from collections.abc import Hashable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import nn

from qweft.tensornet import MatrixProductOperator, Modes
from qweft.tensornet.start import kaiming_start, scaled_start, zero_last

Given = torch.Tensor | tuple[torch.Tensor, ...]
"""A tensor, or a stack of those of many branches; or those of many branches one by one: a stack may cost more."""


def alike(tensors: Sequence[Any], least: torch.dtype = torch.bfloat16) -> list[Any]:
    """Tensors of one type, that of the most precise of them and at least this: directions are kept in bfloat16.

    Those that come one by one stay as they are.
    """
    kind = reduce(torch.promote_types, (tensor.dtype for tensor in tensors if isinstance(tensor, torch.Tensor)))
    if kind.itemsize < least.itemsize:
        kind = least
    return [tensor.to(kind) if isinstance(tensor, torch.Tensor) else tensor for tensor in tensors]


class LinearMap(nn.Module):
    """A linear map without bias, made of parameters; a branch contracts it before it is applied."""

    is_fixed = False
    """Whether it is not trained."""
    one_by_one: tuple[int, ...] = ()
    """Places in `tensors` of what is too large to be stacked with those of other branches on a CPU."""

    @property
    def is_found(self) -> bool:
        """Whether it is there: a fixed map may have to be found first."""
        return True

    def tensors(self) -> list[torch.Tensor]:
        """The parameters, or what stands in their place in a replica of the module."""
        raise NotImplementedError

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """The dense matrix (..., out, in) for such tensors; leading dimensions stand for many maps of this shape."""
        raise NotImplementedError

    def form(self) -> Hashable:
        """What two maps must agree in to be contracted together."""
        raise NotImplementedError

    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Start the parameters by the named start; with `zero` such that the matrix is zero.

        The scaled start gives an output of rms `scale` to an input of rms 1.
        """
        raise NotImplementedError

    def randomise(self) -> None:
        """Give a fixed map something to do where nothing is to start at zero; trained maps have been started."""

    def look_again(self) -> None:
        """See what is there after something else wrote to it; of what is trained nothing is kept aside."""

    def matrix(self) -> torch.Tensor:
        """The dense matrix (out, in), differentiable in the parameters."""
        return self.contract(alike(self.tensors()))


class DenseMap(LinearMap):
    """One matrix (out, in), as LoRA has."""

    def __init__(self, into: int, out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out, into))

    def tensors(self) -> list[torch.Tensor]:
        """The weight."""
        return [self.weight]

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """The weight itself."""
        return tensors[0]

    def form(self) -> Hashable:
        """Its shape says all."""
        return "dense"

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Zero, or kaiming-uniform with a = 0; the scaled start has entries of variance scale^2 / in."""
        if zero:
            nn.init.zeros_(self.weight)
        elif start == "scaled":
            nn.init.normal_(self.weight, std=scale * self.weight.shape[1] ** -0.5)
        else:
            nn.init.kaiming_uniform_(self.weight)


class _MpoMap(LinearMap):
    """A matrix product operator on the side of the large size, and a linear map between its width and r."""

    operator: MatrixProductOperator
    weight: nn.Parameter

    def tensors(self) -> list[torch.Tensor]:
        """The linear map and the cores."""
        return [self.weight, *self.operator.cores]

    def form(self) -> Hashable:
        """Modes and padding, which the shapes of the cores do not tell."""
        return type(self).__name__, self.operator.out, self.operator.into


class MpoCompress(_MpoMap):
    """d_in -> width by a matrix product operator, width -> r by a linear map: matrix A W, (r, d_in)."""

    def __init__(self, into: Modes, width: Modes, r: int, bond: int):
        super().__init__()
        self.operator = MatrixProductOperator(width, into, bond)
        self.weight = nn.Parameter(torch.zeros(r, width.size))

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """A W, by r applications of the network."""
        return self.operator.left_multiply(tensors[0], tensors[1:])

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Cores and linear map by the named start; `zero` zeroes the operator's last core.

        Scaled: W has entries of variance 1 / d_in and A of scale^2 / width, so that A W x has the rms of x times scale.
        """
        if start == "scaled":
            scaled_start(self.operator, 1 / self.operator.into.size)
            nn.init.normal_(self.weight, std=scale * self.operator.out.size**-0.5)
        else:
            kaiming_start(self.operator)
            nn.init.kaiming_uniform_(self.weight)
        if zero:
            zero_last(self.operator)


class MpoExpand(_MpoMap):
    """r -> width by a linear map, width -> d_out by a matrix product operator: matrix W B, (d_out, r)."""

    def __init__(self, r: int, width: Modes, out: Modes, bond: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width.size, r))
        self.operator = MatrixProductOperator(out, width, bond)

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """W B, by r applications of the network."""
        return self.operator.right_multiply(tensors[0], tensors[1:])

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Cores and linear map by the named start; `zero` zeroes the operator's last core.

        Scaled: B has entries of variance scale^2 / r, W of 1 / width, its last core of 1 / r. Then, at scale 1, a
        change of the last core by entries of any deviation changes W B by entries of the same deviation, and the last
        core's gradient has the norm of the gradient of a dense W B: what LoRA's second matrix has.
        """
        if start == "scaled":
            r = self.weight.shape[1]
            scaled_start(self.operator, 1 / self.operator.into.size, last=r**-0.5)
            nn.init.normal_(self.weight, std=scale * r**-0.5)
        else:
            kaiming_start(self.operator)
            nn.init.kaiming_uniform_(self.weight)
        if zero:
            zero_last(self.operator)
