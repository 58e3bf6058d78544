"""Maps with fixed parts: directions or outputs of a layer that are found before training."""

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from qweft.adapter.maps import DenseMap, LinearMap, MpoMap, alike, reset_weight
from qweft.adapter.packing import gathered, pack, pack_codes, packed_bytes, unpack, unpack_codes
from qweft.errors import QweftError
from qweft.internals.torch import is_transformed
from qweft.method.names import Part
from qweft.method.resolved import ResolvedConfig

DIRECTIONS = torch.bfloat16
"""The dtype of directions that are not packed."""
PLAIN = 16
"""Bits of such a direction's number, the default of `QwthnConfig.basis_bits`."""
LEAST_FOR_OUTPUTS = 8
"""Directions that the sketch computes to choose outputs: it then estimates the lengths of rows to within 13%."""


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
    found_in_backward = False
    """Whether a backward pass found the directions and the branch has not been called outside of one since."""

    def __init__(self, config: ResolvedConfig, size: int, count: int, writes: bool):
        super().__init__()
        self.size, self.count, self.writes = size, count, writes
        self.kind, self.bits = config.basis, config.basis_bits
        self.is_packed = self.bits < PLAIN
        self.register_buffer("weight", self.empty())
        self._is_found = False
        self.register_load_state_dict_post_hook(_look_again)

    @property
    def is_found(self) -> bool:  # type: ignore[override]
        """Whether directions are set, whether found here, loaded, or written by other code."""
        if not self._is_found and not torch.compiler.is_compiling():
            self.look_again()  # transformers loads without calling the module's own functions
        return self._is_found

    @property
    def is_settled(self) -> bool:  # type: ignore[override]
        """Whether the directions were known before any backward pass that is now running."""
        return (self._is_found or self.is_found) and not self.found_in_backward  # skips a property for each token

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

    def matrix(self) -> torch.Tensor:
        return self.contract_limited(alike(self.tensors(), torch.float32))

    def form(self) -> Hashable:
        return type(self), self.writes, self.size, self.bits  # the shape of packed directions does not determine them

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        self.weight.zero_()
        self._is_found = False

    def times(self, trained: torch.Tensor | None, directions: Any) -> torch.Tensor:
        """Return trained times V^T, or V times trained where the map writes; a tuple has one V a branch."""
        turned = self.is_packed and self.writes  # packed directions are rows on both sides
        on_the_left = self.is_packed or not self.writes
        if trained is not None and turned:
            trained = trained.mT
        if trained is None:
            product = self.dense(directions, torch.float32) if self.is_packed else directions
        elif isinstance(directions, tuple):
            # a transform of `torch.func` follows plain operations only
            products: Any = self.products if is_transformed() else partial(_OneByOne.apply, self)
            product = products(trained, on_the_left, *directions)
        else:
            fixed = self.dense(directions, trained.dtype) if self.is_packed else directions
            product = trained @ fixed if on_the_left else fixed @ trained
        if self.is_packed:
            product = gathered(product, self.size)
        return product.mT if turned else product

    def products(self, trained: torch.Tensor, on_the_left: bool, *directions: torch.Tensor) -> torch.Tensor:
        """Return the product of each branch's trained map and directions, stacked."""
        pairs = zip(trained.unbind(), (self.dense(each, trained.dtype) for each in directions), strict=True)
        return torch.stack([own @ fixed if on_the_left else fixed @ own for own, fixed in pairs])

    def dense(self, directions: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the numbers of directions; of packed ones the spread numbers, (count, n)."""
        return unpack(directions, self.bits, self.size, dtype) if self.is_packed else directions.to(dtype)

    def look_again(self) -> None:
        self._is_found = not self.weight.is_meta and bool(self.weight.any())


def _look_again(module: nn.Module, _: Any) -> None:
    """Hook after a state dict was loaded."""
    if isinstance(module, FixedMap):
        module.look_again()


class _OneByOne(torch.autograd.Function):
    """`FixedMap.products` whose directions stay in their own dtype between forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, fixed_map: FixedMap, trained: torch.Tensor, on_the_left: bool, *directions: torch.Tensor
    ) -> torch.Tensor:
        ctx.map, ctx.on_the_left, ctx.directions = fixed_map, on_the_left, directions
        return fixed_map.products(trained, on_the_left, *directions)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        pairs = zip(gradient.unbind(), (ctx.map.dense(each, gradient.dtype) for each in ctx.directions), strict=True)
        found = torch.stack([g @ fixed.mT if ctx.on_the_left else fixed.mT @ g for g, fixed in pairs])
        return None, found, None, *(None for _ in ctx.directions)


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

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        return self.times(None, tensors[0])


class SubspaceMap(FixedMap):
    """k fixed directions V, and a trained linear map between them and r: A V^T (r, d_in), or V B (d_out, r)."""

    words = "an orthonormal basis that was not trained and a linear map"
    sizes: ClassVar[Mapping[str, str]] = {"width": "{} directions where a layer has as many"}
    parts: ClassVar[Mapping[str, Part]] = {"linear_weight": "linear"}
    one_by_one: tuple[int, ...] = (1,)

    def __init__(self, config: ResolvedConfig, d_in: int, d_out: int, writes: bool):
        count = self.count_on(config, d_in, d_out)
        super().__init__(config, d_out if writes else d_in, count, writes)
        self.linear_weight = nn.Parameter(torch.zeros((count, config.r) if writes else (config.r, count)))

    @staticmethod
    def count_on(config: ResolvedConfig, d_in: int, d_out: int) -> int:
        """Return the number of directions on a layer, min(width, d_in, d_out)."""
        return min(config.width, d_in, d_out)

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        return self.times(tensors[0], tensors[1])

    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        super().reset(start, zero, scale)
        reset_weight(self.linear_weight, start, zero, scale, a=math.sqrt(5))  # as in LoRA


class SparseMap(SubspaceMap):
    """The map r -> d_out by a trained B (count, r) that writes to `count` chosen outputs: (d_out, r), other rows zero.

    `weight` (d_out,) is 1 at the chosen outputs and 0 elsewhere, packed in one bit each if directions are packed.
    """

    words = "a linear map to some outputs, which were chosen before the training"
    sizes: ClassVar[Mapping[str, str]] = {"share": "{:g} of a layer's outputs"}
    one_by_one = ()

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

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
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
