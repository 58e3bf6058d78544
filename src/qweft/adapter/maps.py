"""The maps C (compress, d_in -> r) and E (expand, r -> d_out; it `writes`), each one dense matrix once a step.

A new kind is a class here and in `MAPS`, called with config, d_in, d_out and writes, and a name in `method.names`.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from qweft.adapter.packing import gathered, pack, pack_codes, packed_bytes, unpack, unpack_codes
from qweft.core.errors import QweftError
from qweft.internals.torch import is_transformed
from qweft.method.names import Part
from qweft.method.resolved import ResolvedConfig
from qweft.tensornet import MatrixProductOperator
from qweft.tensornet.mpo import recorded_start, scaled_start, small_start

SMALLEST = 1e-7
"""Least divisor of a tensor's entries, in any floating-point type."""
DIRECTIONS = torch.bfloat16
"""The dtype of directions that are not packed."""
PLAIN = 16
"""Bits of such a direction's number, the default of `QwthnConfig.basis_bits`."""
LEAST_FOR_OUTPUTS = 8
"""Directions that the sketch computes to choose outputs: it then estimates the lengths of rows to within 13%."""


def alike(tensors: Sequence[torch.Tensor], least: torch.dtype) -> list[torch.Tensor]:
    """Convert tensors to one dtype, the most precise of them but at least `least`; packed directions stay."""
    kinds = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
    kind = reduce(torch.promote_types, kinds) if kinds else least
    kind = least if kind.itemsize < least.itemsize else kind
    return [tensor.to(kind) if tensor.is_floating_point() else tensor for tensor in tensors]


def limited(tensor: torch.Tensor, limit: float, dims: int = 2) -> torch.Tensor:
    """Return G min(1, t / rms(G)), t = limit sqrt(2 / fan_in); below the limit values and gradients are bit-equal."""
    # fan_in: B_{k-1} i_k of a core (B_{k-1}, j_k, i_k, B_k), dims 4; the columns of a matrix, dims 2. Axes before are
    # branches. Above the limit the size of G has no gradient.
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
    parts: ClassVar[Mapping[str, Part]]  # names of trained parameters, or of modules that hold them, with their part
    fixed_tensors: ClassVar[tuple[str, ...]] = ()  # names of tensors that are saved but not trained, of a `FixedMap`
    limit: float | None = None  # `QwthnConfig.factor_limit`
    is_found = True  # whether the directions are known; always true of a map without fixed directions

    @classmethod
    def part_of(cls, name: str) -> Part:
        """Return the part of a trained parameter, given its name inside the map."""
        return cls.parts[name.partition(".")[0]]

    @classmethod
    def is_fixed(cls) -> bool:
        """Whether nothing of the map is trained."""
        return not cls.parts

    def tensors(self) -> list[torch.Tensor]:
        """Return the parameters and buffers, or those of a replica of the module; trained ones come first."""
        return [getattr(self, name) for name in (*self.parts, *self.fixed_tensors)]

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the dense matrix (..., out, in) for such tensors; leading dimensions stand for several maps."""
        raise NotImplementedError

    def contract_limited(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
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

    def matrix(self) -> torch.Tensor:
        """Return the dense matrix (out, in) in float32 or better, differentiable in the parameters."""
        return self.contract_limited(alike(self.tensors(), torch.float32))


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

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
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

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
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
            nn.init.zeros_(self.operator.cores[-1])


class Side(NamedTuple):
    """Orthonormal directions of one side of a layer, (size, r), and norms of the gradient's rows or columns."""

    directions: torch.Tensor
    norms: torch.Tensor


Directions = tuple[Side, Side]
"""The input side and the output side of a layer."""


class FixedMap(LinearMap):
    """Fixed directions V (size, count), zero until they are found; they are saved with the adapter.

    They are rounded when they are found: packed in few bits, (count, bytes), or to bfloat16, V where the map writes and
    V^T where it reads. Signs of singular vectors differ between machines, so they cannot be computed again at loading.
    """

    parts: ClassVar[Mapping[str, Part]] = {}
    fixed_tensors = ("weight",)
    weight: torch.Tensor

    def __init__(self, config: ResolvedConfig, size: int, count: int, writes: bool):
        super().__init__()
        self.size, self.count, self.writes = size, count, writes
        self.kind, self.bits = config.basis, config.basis_bits
        self.is_packed = self.bits < PLAIN
        self.register_buffer("weight", self.empty())
        self._is_found = False
        self.register_load_state_dict_post_hook(FixedMap.look_again)

    @property
    def is_found(self) -> bool:  # type: ignore[override]
        """Whether directions are set, whether found here, loaded, or written by other code."""
        if not self._is_found and not torch.compiler.is_compiling():
            self.look_again()
        return self._is_found

    @property
    def wanted(self) -> int:
        """Number of directions that must be computed for it."""
        return self.count

    def empty(self) -> torch.Tensor:
        """Return the tensor of directions that are not known yet."""
        if self.is_packed:
            return torch.zeros(self.count, packed_bytes(self.size, self.bits), dtype=torch.uint8)
        return torch.zeros((self.size, self.count) if self.writes else (self.count, self.size), dtype=DIRECTIONS)

    def rounded(self, side: Side) -> torch.Tensor:
        """Return the first `count` directions as they will be saved."""
        found = side.directions[:, : self.count]
        if self.is_packed:
            return pack(found, self.bits)
        return (found if self.writes else found.T).to(DIRECTIONS)

    @torch.no_grad()
    def set(self, side: Side) -> None:
        """Set directions, rounded as they will be saved."""
        self.weight.copy_(self.rounded(side))
        self._is_found = True

    def randomise(self) -> None:
        directions = torch.linalg.qr(torch.randn(self.size, self.count, dtype=torch.float32)).Q
        self.set(Side(directions, torch.ones(self.size)))

    def form(self) -> Hashable:
        return type(self), self.writes, self.size, self.bits  # the shape of packed directions does not determine them

    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        self.weight.zero_()
        self._is_found = False

    def times(self, trained: torch.Tensor | None, directions: torch.Tensor) -> torch.Tensor:
        """Return trained times V^T, or V times trained where the map writes; V alone for `None`."""
        turned = self.is_packed and self.writes  # packed directions are rows on both sides
        if trained is None:
            product = unpack(directions, self.bits, self.size, torch.float32) if self.is_packed else directions
        else:
            trained = trained.mT if turned else trained
            if directions.dim() == 3 and directions.device.type == "cpu":  # one at a time stays in a processor's cache
                product = torch.stack([self._product(*pair) for pair in zip(trained, directions, strict=True)])
            else:
                product = self._product(trained, directions)
        product = gathered(product, self.size) if self.is_packed else product
        return product.mT if turned else product

    def _product(self, trained: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        if self.is_packed:
            return trained @ unpack(directions, self.bits, self.size, trained.dtype)
        directions = directions.to(trained.dtype)
        return directions @ trained if self.writes else trained @ directions

    def look_again(self, *_: Any) -> None:
        """Update what is known of the directions after something else wrote them; a hook of loading, too."""
        self._is_found = not self.weight.is_meta and bool(self.weight.any())


class BasisMap(FixedMap):
    """As many fixed directions as the rank, and nothing trained: V^T (r, d_in), or V (d_out, r)."""

    words = "an orthonormal basis that was not trained"

    def __init__(self, config: ResolvedConfig, d_in: int, d_out: int, writes: bool):
        size = d_out if writes else d_in
        most = size if config.basis == "random" else min(d_in, d_out)
        if config.r > most:
            raise QweftError(
                f"r = {config.r} directions of basis {config.basis!r} are more than a layer with d_in = {d_in} and "
                f"d_out = {d_out} has; choose r of at most {most}, by rank_pattern for this layer alone"
            )
        super().__init__(config, size, config.r, writes)

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.times(None, tensors[0])


class SubspaceMap(FixedMap):
    """k fixed directions V, and a trained linear map between them and r: A V^T (r, d_in), or V B (d_out, r)."""

    words = "an orthonormal basis that was not trained and a linear map"
    parts: ClassVar[Mapping[str, Part]] = {"linear_weight": "linear"}

    def __init__(self, config: ResolvedConfig, d_in: int, d_out: int, writes: bool):
        count = self.count_on(config, d_in, d_out)
        super().__init__(config, d_out if writes else d_in, count, writes)
        self.linear_weight = nn.Parameter(torch.zeros((count, config.r) if writes else (config.r, count)))

    @staticmethod
    def count_on(config: ResolvedConfig, d_in: int, d_out: int) -> int:
        """Return the number of directions on a layer, min(width, d_in, d_out)."""
        return min(config.width, d_in, d_out)

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.times(tensors[0], tensors[1])

    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        super().reset(start, zero, scale)
        reset_weight(self.linear_weight, start, zero, scale, a=math.sqrt(5))  # as in LoRA


class SparseMap(SubspaceMap):
    """The map r -> d_out by a trained B (count, r); `weight` (d_out,) is 1 at the outputs it writes to, else 0."""

    words = "a linear map to some outputs, which were chosen before the training"

    @staticmethod
    def count_on(config: ResolvedConfig, d_in: int, d_out: int) -> int:
        """Return the number of outputs, round(share d_out) but at least 1."""
        return max(1, round(config.share * d_out))

    @property
    def wanted(self) -> int:
        return LEAST_FOR_OUTPUTS

    def empty(self) -> torch.Tensor:
        if self.is_packed:
            return torch.zeros(-(-self.size // 8), dtype=torch.uint8)
        return torch.zeros(self.size, dtype=DIRECTIONS)

    def chosen(self, weight: torch.Tensor) -> torch.Tensor:
        """Return 1 for each output that is written to, 0 for others, (..., d_out), from `weight` or a stack of them."""
        return unpack_codes(weight, 1, self.size) if self.is_packed else weight

    def rounded(self, side: Side) -> torch.Tensor:
        chosen = torch.zeros(self.size, dtype=torch.uint8)
        chosen[side.norms.topk(self.count).indices.cpu()] = 1
        return pack_codes(chosen, 1) if self.is_packed else chosen

    def randomise(self) -> None:
        norms = torch.rand(self.size)
        self.set(Side(norms[:, None], norms))

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Scatter the rows of B: a chosen output takes the row numbered by the chosen outputs before it."""
        trained, chosen = tensors[0], self.chosen(tensors[1])
        places = ((chosen != 0).long().cumsum(-1) - 1).clamp(0, trained.shape[-2] - 1)
        rows = trained.gather(-2, places[..., None].expand(*places.shape, trained.shape[-1]))
        return rows * chosen[..., None]


MAPS: dict[str, type[LinearMap]] = {
    "mpo": MpoMap,
    "dense": DenseMap,
    "basis": BasisMap,
    "subspace": SubspaceMap,
    "sparse": SparseMap,
}
"""Every kind of map by its name in a config; "sparse" is of E alone."""
