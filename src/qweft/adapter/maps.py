"""The maps C (compress, d_in -> r) and E (expand, r -> d_out): trained ones, and what all maps have in common.

Every map is contracted into one small dense matrix once a step, so a token costs as much as in LoRA. A class serves
both sides: a map that `writes` is E, another one C.

To add a kind of map, write its class here, or in `fixed_maps.py` if part of it is not trained, and add it to `MAPS` in
that file, and its name to those of `qweft.method.names`. The counts and the model card follow. A class is called with
the config, the layer's sizes d_in and d_out, and whether it writes; it is initialised by `reset`.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import nn

from qweft.errors import QweftError
from qweft.internals.torch import is_transformed
from qweft.method.names import Part
from qweft.method.resolved import ResolvedConfig
from qweft.tensornet import MatrixProductOperator
from qweft.tensornet.mpo import recorded_start, scaled_start, small_start, zero_last

SMALLEST = 1e-7
"""Least divisor of a tensor's entries, in any floating-point type."""


def alike(tensors: Sequence[Any], least: torch.dtype = torch.bfloat16) -> list[Any]:
    """Convert tensors to one dtype: the most precise among them, but at least `least`.

    Packed directions, in whole numbers, and tuples of tensors stay as they are.
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

    fan_in is B_{k-1} i_k of a core (B_{k-1}, j_k, i_k, B_k), dims 4, and the columns of a matrix, dims 2: as in the
    recorded start, in whose standard deviations `limit` is given. Axes before the last `dims` stand for several
    branches. Below the limit values and gradients stay the same bit for bit; above it the size of G has no gradient.
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


class LinearMap(nn.Module):
    """A linear map without bias; a branch contracts it to a matrix before applying it."""

    words: ClassVar[str]  # description for the model card
    sizes: ClassVar[Mapping[str, str]] = {}  # config fields that set the map's size, each as the model card says it
    parts: ClassVar[Mapping[str, Part]]  # names of trained parameters, or of modules that hold them, with their part
    fixed_tensors: ClassVar[tuple[str, ...]] = ()  # names of tensors that are saved but not trained, of a `FixedMap`
    one_by_one: tuple[int, ...] = ()  # indices in `tensors` of those too large to stack with other branches' on a CPU
    limit: float | None = None  # `QwthnConfig.factor_limit`
    is_found = True  # whether the directions are known; always true of a map without fixed directions
    is_settled = True  # whether they were known before any backward pass that is now running

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

    def tensors(self) -> list[torch.Tensor]:
        """Return the parameters and buffers, or those of a replica of the module; trained ones come first."""
        return [getattr(self, name) for name in (*self.parts, *self.fixed_tensors)]

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        """Return the dense matrix (..., out, in) for such tensors; leading dimensions stand for several maps."""
        raise NotImplementedError

    def contract_limited(self, tensors: Sequence[Any]) -> torch.Tensor:
        """Return `contract` with the trained tensors and their product kept within `limit`."""
        if self.limit is None or self.is_fixed():
            return self.contract(tensors)
        own = self.tensors()
        trained = len(own) - len(self.fixed_tensors)
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


@torch.no_grad()
def reset_weight(weight: torch.Tensor, start: str, zero: bool, scale: float, a: float = 0) -> None:
    """Set a matrix to zero, to kaiming-uniform values, or scaled to entries of variance scale^2 / columns."""
    if zero:
        nn.init.zeros_(weight)
    elif start == "scaled":
        nn.init.normal_(weight, std=scale * weight.shape[1] ** -0.5)
    else:
        nn.init.kaiming_uniform_(weight, a=a)


class DenseMap(LinearMap):
    """One matrix (out, in), as in LoRA."""

    words = "a linear map"
    parts: ClassVar[Mapping[str, Part]] = {"weight": "linear"}

    def __init__(self, config: ResolvedConfig, d_in: int, d_out: int, writes: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((d_out, config.r) if writes else (config.r, d_in)))

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        weight: torch.Tensor = tensors[0]
        return weight

    def form(self) -> Hashable:
        return "dense"  # the shape determines the rest

    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        reset_weight(self.weight, start, zero, scale)


class MpoMap(LinearMap):
    """A matrix product operator W at the layer's size, and a linear map between its width and r.

    C is A W, (r, d_in), with A (r, width); E is W B, (d_out, r), with B (width, r).

    The scaled start: entries of W have variance 1 / its inputs, those of A and B scale^2 / their columns, those of E's
    last core 1 / r. At scale 1 a random change of that core changes W B by entries of the same standard deviation. Its
    gradient then has the norm of the gradient of a dense W B, which is that of LoRA's second matrix.
    """

    words = "a matrix product operator and a linear map"
    sizes: ClassVar[Mapping[str, str]] = {"width": "width {}", "bond_dimension": "bond dimension {}"}
    parts: ClassVar[Mapping[str, Part]] = {"operator": "tensor_network", "weight": "linear"}

    def __init__(self, config: ResolvedConfig, d_in: int, d_out: int, writes: bool):
        super().__init__()
        self.writes = writes
        size, width, r = d_out if writes else d_in, config.width, config.r
        self.weight = nn.Parameter(torch.zeros((width, r) if writes else (r, width)))
        outputs, inputs = map(config.modes_of, (size, width) if writes else (width, size))
        try:
            self.operator = MatrixProductOperator(outputs, inputs, config.bond_dimension)
        except ValueError as error:
            raise QweftError(f"an operator between {size} and {width}: {error}; give both sizes in modes") from error

    def tensors(self) -> list[torch.Tensor]:
        return [self.weight, *self.operator.cores]

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        multiply = self.operator.right_multiply if self.writes else self.operator.left_multiply
        return multiply(tensors[0], tensors[1:])

    def form(self) -> Hashable:
        return self.writes, self.operator.out, self.operator.into  # modes and padding

    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        if start == "scaled":
            last = self.weight.shape[1] ** -0.5 if self.writes else None
            scaled_start(self.operator, 1 / self.operator.into.size, last)
        else:
            (small_start if start == "small" else recorded_start)(self.operator)
        reset_weight(self.weight, start, False, scale)
        if zero:
            zero_last(self.operator)
