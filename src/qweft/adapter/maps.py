"""The trained maps C (compress, d_in -> r) and E (expand, r -> d_out): dense, or a matrix product operator.

Every map is contracted into one small dense matrix once a step, so a token costs what it costs in LoRA.

To add a kind of map, write its class here (or in `fixed_maps.py` where it is not trained whole) and name it in the
file's `COMPRESS` or `EXPAND`. The names that a config accepts, the counts, the checks and the model card follow.
"""

from collections.abc import Hashable, Sequence
from functools import reduce
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import nn

from qweft.adapter.resolved import ResolvedConfig
from qweft.errors import QweftError
from qweft.tensornet import MatrixProductOperator, Modes, parameter_count
from qweft.tensornet.mpo import kaiming_start, scaled_start, zero_last

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


class Count(NamedTuple):
    """Trained parameters of a map: in its tensor network, and in its linear map."""

    tensor_network: int = 0
    linear: int = 0


class LinearMap(nn.Module):
    """A linear map without bias, made of parameters; a branch contracts it before it is applied."""

    words: ClassVar[str]
    """What it is, in a sentence of the model card."""
    fixed_tensors: ClassVar[tuple[str, ...]] = ()
    """Names of its tensors that are not trained but saved."""
    is_fixed = False
    """Whether none of it is trained."""
    one_by_one: tuple[int, ...] = ()
    """Places in `tensors` of what is too large to be stacked with those of other branches on a CPU."""

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """The map of a config on a layer d_in -> d_out, its parameters not yet started.

        Raises:
            QweftError: If it does not fit the layer.
        """
        raise NotImplementedError

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Its trained parameters on a layer d_in -> d_out, from shapes alone."""
        raise NotImplementedError

    @property
    def is_found(self) -> bool:
        """Whether its directions are known; a map without fixed directions always is."""
        return True

    @property
    def is_settled(self) -> bool:
        """Whether its directions are known, and were before the backward pass that may be running."""
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

    words = "a linear map"

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


class DenseCompress(DenseMap):
    """d_in -> r by one matrix (r, d_in)."""

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """The matrix (r, d_in)."""
        return cls(d_in, config.r)

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """R d_in."""
        return Count(linear=config.r * d_in)


class DenseExpand(DenseMap):
    """r -> d_out by one matrix (d_out, r)."""

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """The matrix (d_out, r)."""
        return cls(config.r, d_out)

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """R d_out."""
        return Count(linear=config.r * d_out)


class _MpoMap(LinearMap):
    """A matrix product operator on the side of the large size, and a linear map between its width and r."""

    words = "a matrix product operator and a linear map"
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

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """The operator d_in -> width and the map width -> r.

        Raises:
            QweftError: If the factors of the two sizes do not fit each other.
        """
        try:
            return cls(config.modes_of(d_in), config.modes_of(config.width), config.r, config.bond_dimension)
        except ValueError as error:
            raise QweftError(f"compress {d_in} -> {config.width}: {error}; give both sizes in modes") from error

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """sum_k B_{k-1} j_k i_k B_k of the operator, and width r."""
        width, into = config.modes_of(config.width), config.modes_of(d_in)
        return Count(parameter_count(width.modes, into.modes, config.bond_dimension), config.r * config.width)

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

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """The map r -> width and the operator width -> d_out.

        Raises:
            QweftError: If the factors of the two sizes do not fit each other.
        """
        try:
            return cls(config.r, config.modes_of(config.width), config.modes_of(d_out), config.bond_dimension)
        except ValueError as error:
            raise QweftError(f"expand {config.width} -> {d_out}: {error}; give both sizes in modes") from error

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """sum_k B_{k-1} j_k i_k B_k of the operator, and width r."""
        width, out = config.modes_of(config.width), config.modes_of(d_out)
        return Count(parameter_count(out.modes, width.modes, config.bond_dimension), config.r * config.width)

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


COMPRESS: dict[str, type[LinearMap]] = {"mpo": MpoCompress, "dense": DenseCompress}
EXPAND: dict[str, type[LinearMap]] = {"mpo": MpoExpand, "dense": DenseExpand}
