"""The trained maps C (compress, d_in -> r) and E (expand, r -> d_out): dense, or a matrix product operator.

Every map is contracted into one small dense matrix once a step, so a token costs as much as in LoRA.

To add a kind of map, write its class here, or in `fixed_maps.py` if part of it is not trained, and add it to that
file's `COMPRESS` or `EXPAND`, and its name to those of `qweft.method.names`. The counts and the model card follow.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import nn

from qweft.errors import QweftError
from qweft.internals.torch import is_transformed
from qweft.method.names import Part
from qweft.method.resolved import ResolvedConfig
from qweft.tensornet import MatrixProductOperator, Modes, parameter_count
from qweft.tensornet.mpo import recorded_start, scaled_start, small_start, zero_last

SMALLEST = 1e-7
"""Least divisor of a tensor's entries, in any floating-point type."""

Given = torch.Tensor | tuple[torch.Tensor, ...]
"""A tensor, a stack of one for each branch, or a tuple of one for each branch where a stack would cost more."""


def alike(tensors: Sequence[Any], least: torch.dtype = torch.bfloat16) -> list[Any]:
    """Convert tensors to one dtype: the most precise among them, but at least `least`.

    Fixed directions are stored in bfloat16, or packed in whole numbers. Those, and tuples of tensors, stay as they are.
    """
    real = [isinstance(tensor, torch.Tensor) and tensor.is_floating_point() for tensor in tensors]
    found = [tensor.dtype for tensor, is_real in zip(tensors, real, strict=True) if is_real]
    kind = reduce(torch.promote_types, found) if found else least
    if kind.itemsize < least.itemsize:
        kind = least
    return [tensor.to(kind) if is_real else tensor for tensor, is_real in zip(tensors, real, strict=True)]


def limited(tensor: torch.Tensor, limit: float, dims: int = 2) -> torch.Tensor:
    """Return a tensor G with an rms of at most t, scaled down as a whole if it is larger.

        G min(1, t / rms(G)),   t = limit sqrt(2 / fan_in)

    fan_in is B_{k-1} i_k of a core (B_{k-1}, j_k, i_k, B_k), and the columns of a matrix: as in the recorded start.

    Below the limit values and gradients stay the same bit for bit. Above it the size of G has no gradient, so a
    product of many factors does not overflow, however large a step of the optimizer was.

    Args:
        tensor: G; axes before its last `dims` stand for several branches.
        limit: In standard deviations of the recorded start.
        dims: Axes of G, 4 of a core and 2 of a matrix.
    """
    own, shape = tuple(range(-dims, 0)), tensor.shape[-dims:]
    fan_in = shape[0] * shape[2] if dims == 4 else math.prod(shape[1:])
    most = limit * math.sqrt(2 / fan_in * math.prod(shape))  # of the norm
    if tensor.device.type == "cpu" and not torch.compiler.is_compiling() and not is_transformed():
        norms = torch.linalg.vector_norm(tensor.detach(), dim=own)
        if bool((norms <= most).all()):  # nearly always; asking another device would wait for it
            return tensor
    # the largest entry is divided out, since an entry of 1e20 has no square in float32
    peak = tensor.detach().abs().amax(own, keepdim=True).clamp_min(SMALLEST)
    excess = torch.linalg.vector_norm(tensor / peak, dim=own, keepdim=True) * (peak / most)
    return tensor / excess.clamp_min(1)


class Count(NamedTuple):
    """Trained parameters of a map: in its tensor network, and in its linear map."""

    tensor_network: int = 0
    linear: int = 0


class LinearMap(nn.Module):
    """A linear map without bias; a branch contracts it to a matrix before applying it."""

    words: ClassVar[str]
    """Description for the model card."""
    sizes: ClassVar[Mapping[str, str]] = {}
    """Config fields that set the map's size, each as the model card says it."""
    parts: ClassVar[Mapping[str, Part]]
    """Names of trained parameters, or of modules that hold them, each with its part. Empty: nothing is trained."""
    fixed_tensors: ClassVar[tuple[str, ...]] = ()
    """Names of tensors that are saved but not trained. A map that has some is a `BasisMap`."""
    one_by_one: tuple[int, ...] = ()
    """Indices in `tensors` of tensors that are too large to stack with those of other branches on a CPU."""
    limit: float | None = None
    """`QwthnConfig.factor_limit`."""

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the map of a config on a layer d_in -> d_out, before initialisation.

        Raises:
            QweftError: If it does not fit the layer.
        """
        raise NotImplementedError

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Count the trained parameters on a layer d_in -> d_out, from shapes alone."""
        raise NotImplementedError

    @classmethod
    def part_of(cls, name: str) -> Part:
        """Return the part of a trained parameter, given its name inside the map."""
        return cls.parts[name.partition(".")[0]]

    @classmethod
    def is_fixed(cls) -> bool:
        """Whether nothing of the map is trained."""
        return not cls.parts

    @classmethod
    def has_network(cls) -> bool:
        """Whether the map has a tensor network."""
        return "tensor_network" in cls.parts.values()

    @property
    def is_found(self) -> bool:
        """Whether the directions are known; always true of a map without fixed directions."""
        return True

    @property
    def is_settled(self) -> bool:
        """Whether the directions were known before any backward pass that is now running."""
        return True

    def tensors(self) -> list[torch.Tensor]:
        """Return the parameters and buffers, or those of a replica of the module."""
        raise NotImplementedError

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the dense matrix (..., out, in) for such tensors; leading dimensions stand for several maps."""
        raise NotImplementedError

    def contract_limited(self, tensors: Sequence[Any]) -> torch.Tensor:
        """Return `contract` with the trained tensors and their product kept within `limit`."""
        if self.limit is None or self.is_fixed():
            return self.contract(tensors)
        own = self.tensors()
        trained = len(own) - len(self.fixed_tensors)  # they come first
        factors = [limited(t, self.limit, like.dim()) for t, like in zip(tensors, own[:trained], strict=False)]
        return limited(self.contract([*factors, *tensors[trained:]]), self.limit)

    def form(self) -> Hashable:
        """Return a key that two maps must share to be contracted in one batch."""
        raise NotImplementedError

    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Initialise the parameters by the named start; `zero` makes the matrix zero.

        The scaled start gives an output of rms `scale` for an input of rms 1.
        """
        raise NotImplementedError

    def randomise(self) -> None:
        """Give a fixed map random directions, for a branch that must not be zero; trained maps are already random."""

    def look_again(self) -> None:
        """Update cached state after something else wrote to the tensors; trained maps cache nothing."""

    def matrix(self) -> torch.Tensor:
        """Return the dense matrix (out, in), differentiable in the parameters."""
        return self.contract_limited(alike(self.tensors()))


class DenseMap(LinearMap):
    """One matrix (out, in), as in LoRA."""

    words = "a linear map"
    parts: ClassVar[Mapping[str, Part]] = {"weight": "linear"}

    def __init__(self, into: int, out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out, into))

    def tensors(self) -> list[torch.Tensor]:
        """Return the weight."""
        return [self.weight]

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the weight itself."""
        return tensors[0]

    def form(self) -> Hashable:
        """Return a constant: the shape determines the rest."""
        return "dense"

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Set the weight to zero, to kaiming-uniform values (a = 0), or scaled to entries of variance scale^2 / in."""
        if zero:
            nn.init.zeros_(self.weight)
        elif start == "scaled":
            nn.init.normal_(self.weight, std=scale * self.weight.shape[1] ** -0.5)
        else:
            nn.init.kaiming_uniform_(self.weight)


class DenseCompress(DenseMap):
    """The map d_in -> r by one matrix (r, d_in)."""

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the map with a matrix (r, d_in)."""
        return cls(d_in, config.r)

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Count r d_in parameters."""
        return Count(linear=config.r * d_in)


class DenseExpand(DenseMap):
    """The map r -> d_out by one matrix (d_out, r)."""

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the map with a matrix (d_out, r)."""
        return cls(config.r, d_out)

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Count r d_out parameters."""
        return Count(linear=config.r * d_out)


class _MpoMap(LinearMap):
    """A matrix product operator at the layer's size, and a linear map between its width and r."""

    words = "a matrix product operator and a linear map"
    sizes: ClassVar[Mapping[str, str]] = {"width": "width {}", "bond_dimension": "bond dimension {}"}
    parts: ClassVar[Mapping[str, Part]] = {"operator": "tensor_network", "weight": "linear"}
    operator: MatrixProductOperator
    weight: nn.Parameter

    def tensors(self) -> list[torch.Tensor]:
        """Return the linear map and the cores."""
        return [self.weight, *self.operator.cores]

    def form(self) -> Hashable:
        """Return modes and padding, which the shapes of the cores do not determine."""
        return type(self).__name__, self.operator.out, self.operator.into


class MpoCompress(_MpoMap):
    """The map d_in -> width by a matrix product operator W, width -> r by a linear map A: matrix A W, (r, d_in)."""

    def __init__(self, into: Modes, width: Modes, r: int, bond: int):
        super().__init__()
        self.operator = MatrixProductOperator(width, into, bond)
        self.weight = nn.Parameter(torch.zeros(r, width.size))

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the operator d_in -> width and the linear map width -> r.

        Raises:
            QweftError: If the two sizes have different numbers of factors.
        """
        try:
            return cls(config.modes_of(d_in), config.modes_of(config.width), config.r, config.bond_dimension)
        except ValueError as error:
            raise QweftError(f"compress {d_in} -> {config.width}: {error}; give both sizes in modes") from error

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Count sum_k B_{k-1} j_k i_k B_k parameters of the operator and width r of the linear map."""
        width, into = config.modes_of(config.width), config.modes_of(d_in)
        return Count(parameter_count(width.modes, into.modes, config.bond_dimension), config.r * config.width)

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return A W, by r applications of the network."""
        return self.operator.left_multiply(tensors[0], tensors[1:])

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Initialise cores and linear map by the named start; `zero` zeroes the operator's last core.

        Scaled: entries of W have variance 1 / d_in and those of A scale^2 / width, so A W x has rms `scale` for x of
        rms 1.
        """
        if start == "scaled":
            scaled_start(self.operator, 1 / self.operator.into.size)
            nn.init.normal_(self.weight, std=scale * self.operator.out.size**-0.5)
        else:
            (small_start if start == "small" else recorded_start)(self.operator)
            nn.init.kaiming_uniform_(self.weight)
        if zero:
            zero_last(self.operator)


class MpoExpand(_MpoMap):
    """The map r -> width by a linear map B, width -> d_out by a matrix product operator W: matrix W B, (d_out, r)."""

    def __init__(self, r: int, width: Modes, out: Modes, bond: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width.size, r))
        self.operator = MatrixProductOperator(out, width, bond)

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the linear map r -> width and the operator width -> d_out.

        Raises:
            QweftError: If the two sizes have different numbers of factors.
        """
        try:
            return cls(config.r, config.modes_of(config.width), config.modes_of(d_out), config.bond_dimension)
        except ValueError as error:
            raise QweftError(f"expand {config.width} -> {d_out}: {error}; give both sizes in modes") from error

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Count sum_k B_{k-1} j_k i_k B_k parameters of the operator and width r of the linear map."""
        width, out = config.modes_of(config.width), config.modes_of(d_out)
        return Count(parameter_count(out.modes, width.modes, config.bond_dimension), config.r * config.width)

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return W B, by r applications of the network."""
        return self.operator.right_multiply(tensors[0], tensors[1:])

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Initialise cores and linear map by the named start; `zero` zeroes the operator's last core.

        Scaled: entries of B have variance scale^2 / r, those of W 1 / width, those of its last core 1 / r. At scale 1 a
        random change of the last core then changes W B by entries of the same standard deviation. The last core's
        gradient then has the norm of the gradient of a dense W B, which is that of LoRA's second matrix.
        """
        if start == "scaled":
            r = self.weight.shape[1]
            scaled_start(self.operator, 1 / self.operator.into.size, last=r**-0.5)
            nn.init.normal_(self.weight, std=scale * r**-0.5)
        else:
            (small_start if start == "small" else recorded_start)(self.operator)
            nn.init.kaiming_uniform_(self.weight)
        if zero:
            zero_last(self.operator)


COMPRESS: dict[str, type[LinearMap]] = {"mpo": MpoCompress, "dense": DenseCompress}
EXPAND: dict[str, type[LinearMap]] = {"mpo": MpoExpand, "dense": DenseExpand}
