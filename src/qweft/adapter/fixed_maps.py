"""Maps with fixed parts: directions, or chosen outputs, of a layer that are found before training starts."""

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from qweft.adapter import maps
from qweft.adapter.maps import Count, Given, LinearMap, alike
from qweft.adapter.resolved import ResolvedConfig
from qweft.errors import QweftError

DIRECTIONS = torch.bfloat16
"""The type of directions."""
LEAST_FOR_OUTPUTS = 32
"""Directions that are looked for where outputs are chosen: the sketch then knows the lengths of rows to within 6%."""


class Side(NamedTuple):
    """What fixed maps on one side of a layer are made of.

    Args:
        directions: Orthonormal columns, (size, r).
        norms: How much each input, or output, counts, (size,): of G the norms of columns, or of rows.
    """

    directions: torch.Tensor
    norms: torch.Tensor


Directions = tuple[Side, Side]
"""On the side of a layer's input, and of its output."""


class BasisMap(LinearMap):
    """A fixed matrix, zero until its directions are found; it belongs to the adapter and is saved with it.

    The signs of singular vectors, and the order of equal ones, differ from machine to machine, so they cannot be
    computed again where the adapter is loaded. Most of the adapter's file are directions: they are rounded to bfloat16
    when they are found, and what is trained learns with the rounded ones.

    Args:
        shape: Of the matrix.
        kind: Whose directions they are, as `QwthnConfig.basis`.
    """

    words = "an orthonormal basis that was not trained"
    fixed_tensors = ("weight",)
    is_fixed = True
    weight: torch.Tensor
    found_in_backward = False
    """Whether a backward pass found the directions, and the branch was not called outside of one since."""

    def __init__(self, shape: tuple[int, ...], kind: str):
        super().__init__()
        self.kind = kind
        self.register_buffer("weight", torch.zeros(shape, dtype=DIRECTIONS))
        self._is_found = False
        self.register_load_state_dict_post_hook(_look_again)

    @property
    def is_found(self) -> bool:
        """Whether there are directions: found here, read from a file, or written by whatever else."""
        if not self._is_found and not torch.compiler.is_compiling():
            self.look_again()  # not everything that loads goes through a module's own functions: transformers does not
        return self._is_found

    @property
    def is_settled(self) -> bool:
        """Whether its directions are known, and were before the backward pass that may be running."""
        return (self._is_found or self.is_found) and not self.found_in_backward  # a property less for each token

    def tensors(self) -> list[torch.Tensor]:
        """The directions."""
        return [self.weight]

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """The directions themselves."""
        return tensors[0]

    def matrix(self) -> torch.Tensor:
        """The dense matrix (out, in) in float32 or better."""
        return self.contract(alike(self.tensors(), torch.float32))

    def form(self) -> Hashable:
        """Its shape says all."""
        return "basis"

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """No directions yet, whatever the start."""
        self.weight.zero_()
        self._is_found = False

    @property
    def count(self) -> int:
        """Number of directions that it holds."""
        raise NotImplementedError

    @property
    def wanted(self) -> int:
        """Number of directions that have to be found for it."""
        return self.count

    def directions(self, found: torch.Tensor) -> torch.Tensor:
        """The matrix of directions (size, count)."""
        raise NotImplementedError

    def randomise(self) -> None:
        """Random directions."""
        size = max(self.weight.shape)
        self.set(Side(torch.linalg.qr(torch.randn(size, min(self.weight.shape))).Q, torch.ones(size)))

    @torch.no_grad()
    def set(self, side: Side) -> None:
        """Take the first of these orthonormal directions, of `count` or more, rounded as they will be saved."""
        self.weight.copy_(self.directions(side.directions[:, : self.count]).to(DIRECTIONS))
        self._is_found = True

    def look_again(self) -> None:
        """See whether there are directions now, after something else wrote to the matrix."""
        self._is_found = not self.weight.is_meta and bool(self.weight.any())


def _look_again(module: nn.Module, _: Any) -> None:
    """Hook for after a state dict was loaded."""
    if isinstance(module, BasisMap):
        module.look_again()


class _Reads(BasisMap):
    """A direction in each row."""

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.weight.shape[0]

    def directions(self, found: torch.Tensor) -> torch.Tensor:
        """One in each row."""
        return found.T


class _Writes(BasisMap):
    """A direction in each column."""

    @property
    def count(self) -> int:
        """Number of columns."""
        return self.weight.shape[1]

    def directions(self, found: torch.Tensor) -> torch.Tensor:
        """One in each column."""
        return found


class _Subspace(BasisMap):
    """The directions are fixed, and a linear map between them and r is trained."""

    words = "an orthonormal basis that was not trained and a linear map"
    is_fixed = False
    one_by_one: tuple[int, ...] = (1,)
    linear_weight: nn.Parameter

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """The linear map, k r for k directions."""
        return Count(linear=config.r * config.directions(d_in, d_out))

    def tensors(self) -> list[torch.Tensor]:
        """The linear map and the directions."""
        return [self.linear_weight, self.weight]

    def form(self) -> Hashable:
        """Its shapes say all."""
        return type(self).__name__

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """No directions yet; the linear map zero, or kaiming-uniform with a = sqrt(5) as LoRA's first matrix.

        Scaled: entries of variance scale^2 / in.
        """
        super().reset(start, zero, scale)
        if zero:
            nn.init.zeros_(self.linear_weight)
        elif start == "scaled":
            nn.init.normal_(self.linear_weight, std=scale * self.linear_weight.shape[1] ** -0.5)
        else:
            nn.init.kaiming_uniform_(self.linear_weight, a=math.sqrt(5))


class _OneByOne(torch.autograd.Function):
    """The products of many branches: what is trained in a stack, the directions one by one and in their own type."""

    @staticmethod
    def forward(ctx: Any, trained: torch.Tensor, reads: bool, *directions: torch.Tensor) -> torch.Tensor:
        """A V^T or U B of each, stacked."""
        ctx.reads, ctx.directions = reads, directions
        pairs = zip(trained.unbind(), (each.to(trained.dtype) for each in directions), strict=True)
        return torch.stack([own @ fixed if reads else fixed @ own for own, fixed in pairs])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Of what is trained."""
        pairs = zip(gradient.unbind(), (each.to(gradient.dtype) for each in ctx.directions), strict=True)
        found = torch.stack([g @ fixed.mT if ctx.reads else fixed.mT @ g for g, fixed in pairs])
        return found, None, *(None for _ in ctx.directions)


def _product(trained: torch.Tensor, directions: Given, reads: bool) -> torch.Tensor:
    """What is trained times the directions, or the directions times it, of one branch or of many."""
    if isinstance(directions, tuple):
        product: torch.Tensor = _OneByOne.apply(trained, reads, *directions)
        return product
    return trained @ directions if reads else directions @ trained


class SubspaceCompress(_Subspace, _Reads):
    """d_in -> k by k fixed directions V, k -> r by a linear map A: matrix A V^T, (r, d_in)."""

    def __init__(self, into: int, count: int, r: int, kind: str):
        super().__init__((count, into), kind)
        self.linear_weight = nn.Parameter(torch.zeros(r, count))

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """As many directions as the config's width, or as the layer has."""
        return cls(d_in, config.directions(d_in, d_out), config.r, config.basis)

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        """A V^T."""
        return _product(tensors[0], tensors[1], reads=True)


class SubspaceExpand(_Subspace, _Writes):
    """r -> k by a linear map B, k -> d_out by k fixed directions U: matrix U B, (d_out, r)."""

    def __init__(self, r: int, count: int, out: int, kind: str):
        super().__init__((out, count), kind)
        self.linear_weight = nn.Parameter(torch.zeros(count, r))

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """As many directions as the config's width, or as the layer has."""
        return cls(config.r, config.directions(d_in, d_out), d_out, config.basis)

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        """U B."""
        return _product(tensors[0], tensors[1], reads=False)


class SparseExpand(_Subspace):
    """r -> count by a linear map B, whose entries go to so many of the d_out outputs: (d_out, r), other rows zero.

    `weight` is 1 at these outputs and 0 at others, (d_out,); B has their order.
    """

    words = "a linear map to some outputs, which were chosen before the training"
    one_by_one = ()

    def __init__(self, r: int, count: int, out: int, kind: str):
        super().__init__((out,), kind)
        self.linear_weight = nn.Parameter(torch.zeros(count, r))

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """A share of the outputs."""
        return cls(config.r, config.outputs(d_out), d_out, config.basis)

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """The share of d_out, times r."""
        return Count(linear=config.r * config.outputs(d_out))

    @property
    def count(self) -> int:
        """Number of outputs that are written to."""
        return self.linear_weight.shape[0]

    @property
    def wanted(self) -> int:
        """Enough to know the lengths of the gradient's rows."""
        return LEAST_FOR_OUTPUTS

    @property
    def is_whole(self) -> bool:
        """Whether as many outputs are chosen as are trained, or none yet, and others not at all."""
        if self.weight.is_meta:
            return True
        ones = int((self.weight == 1).sum())
        return ones + int((self.weight == 0).sum()) == len(self.weight) and ones in (0, self.count)

    def randomise(self) -> None:
        """Random outputs."""
        norms = torch.rand(len(self.weight))
        self.set(Side(norms[:, None], norms))

    @torch.no_grad()
    def set(self, side: Side) -> None:
        """Take the outputs that count most."""
        self.weight.zero_()
        self.weight[side.norms.topk(self.count).indices.to(self.weight.device)] = 1
        self._is_found = True

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        """Each row of B in its place: the place of an output is the number of chosen ones before it."""
        trained, chosen = tensors
        places = ((chosen != 0).long().cumsum(-1) - 1).clamp(0, trained.shape[-2] - 1)
        rows = trained.gather(-2, places[..., None].expand(*places.shape, trained.shape[-1]))
        return rows * chosen[..., None]


class _Basis(BasisMap):
    """As many fixed directions as the rank, and nothing that is trained."""

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """None."""
        return Count()


def _check_rank(r: int, size: int, side: str) -> None:
    if r > size:
        raise QweftError(
            f"r = {r} directions cannot be a basis of a layer with {side} = {size}; choose r of at most {size}, by "
            "rank_pattern for this layer alone"
        )


class BasisCompress(_Basis, _Reads):
    """d_in -> r: c_i is the component of x along direction i; matrix (r, d_in)."""

    def __init__(self, into: int, r: int, kind: str):
        super().__init__((r, into), kind)

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """R directions of the input."""
        _check_rank(config.r, d_in, "d_in")
        return cls(d_in, config.r, config.basis)


class BasisExpand(_Basis, _Writes):
    """r -> d_out: the sum of h_i times direction i; matrix (d_out, r)."""

    def __init__(self, r: int, out: int, kind: str):
        super().__init__((out, r), kind)

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """R directions of the output."""
        _check_rank(config.r, d_out, "d_out")
        return cls(config.r, d_out, config.basis)


COMPRESS: dict[str, type[LinearMap]] = {**maps.COMPRESS, "basis": BasisCompress, "subspace": SubspaceCompress}
EXPAND: dict[str, type[LinearMap]] = {
    **maps.EXPAND,
    "basis": BasisExpand,
    "subspace": SubspaceExpand,
    "sparse": SparseExpand,
}
"""Every kind of map, fixed or not, by the name that a config gives it."""
