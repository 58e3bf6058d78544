"""Maps with fixed parts: directions or outputs of a layer that are found before training."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import nn

from qweft.adapter import maps
from qweft.adapter.fixed_products import one_by_one
from qweft.adapter.maps import Count, Given, LinearMap, alike
from qweft.adapter.packing import gathered, pack, pack_codes, packed_bytes, unpack, unpack_codes
from qweft.errors import QweftError
from qweft.method.names import Part
from qweft.method.resolved import ResolvedConfig

DIRECTIONS = torch.bfloat16
"""The dtype of directions that are not packed."""
PLAIN = 16
"""Bits of such a direction's number, the default of `QwthnConfig.basis_bits`."""
LEAST_FOR_OUTPUTS = 8
"""Directions that the sketch computes to choose outputs: it then estimates the lengths of rows to within 13%."""


class Side(NamedTuple):
    """Directions and norms on one side of a layer.

    Args:
        directions: Orthonormal columns, (size, r).
        norms: Importance of each input or output, (size,): norms of the columns (inputs) or rows (outputs) of the
            gradient G, or of W0.
    """

    directions: torch.Tensor
    norms: torch.Tensor


Directions = tuple[Side, Side]
"""The input side and the output side of a layer."""


class BasisMap(LinearMap):
    """A fixed matrix that is zero until its directions are found; it is saved with the adapter.

    Signs of singular vectors, and the order of equal ones, differ between machines, so they cannot be recomputed when
    the adapter is loaded. Directions make up most of the adapter's file, so they are rounded when they are found:
    packed in few bits, (count, bytes), or to a matrix in bfloat16. Training uses the rounded ones.

    Args:
        count: Number of directions.
        size: Number of entries of a direction.
        kind: How directions are chosen: `QwthnConfig.basis`.
        bits: `QwthnConfig.basis_bits`.
    """

    words = "an orthonormal basis that was not trained"
    parts: ClassVar[Mapping[str, Part]] = {}
    fixed_tensors = ("weight",)
    weight: torch.Tensor
    found_in_backward = False
    """Whether a backward pass found the directions and the branch has not been called outside of one since."""

    def __init__(self, count: int, size: int, kind: str, bits: int = PLAIN):
        super().__init__()
        self.count, self.size, self.kind, self.bits = count, size, kind, bits
        self.register_buffer("weight", self.empty())
        self._is_found = False
        self.register_load_state_dict_post_hook(_look_again)

    @property
    def is_found(self) -> bool:
        """Whether directions are set, whether found here, loaded, or written by other code."""
        if not self._is_found and not torch.compiler.is_compiling():
            self.look_again()  # transformers loads without calling the module's own functions
        return self._is_found

    @property
    def is_settled(self) -> bool:
        """Whether the directions were known before any backward pass that is now running."""
        return (self._is_found or self.is_found) and not self.found_in_backward  # skips a property for each token

    def empty(self) -> torch.Tensor:
        """Return the tensor of directions that are not known yet: packed, or rows in bfloat16."""
        if self.bits < PLAIN:
            return torch.zeros(self.count, packed_bytes(self.size, self.bits), dtype=torch.uint8)
        return torch.zeros(self.count, self.size, dtype=DIRECTIONS)

    def tensors(self) -> list[torch.Tensor]:
        """Return the directions."""
        return [self.weight]

    def matrix(self) -> torch.Tensor:
        """Return the dense matrix (out, in) in float32 or better."""
        return self.contract_limited(alike(self.tensors(), torch.float32))

    def form(self) -> Hashable:
        """Return size and bits, which the shape of packed directions does not determine."""
        return "basis", self.size, self.bits

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Clear the directions, whatever the start."""
        self.weight.zero_()
        self._is_found = False

    @property
    def wanted(self) -> int:
        """Number of directions that must be computed for it."""
        return self.count

    def rounded(self, found: torch.Tensor) -> torch.Tensor:
        """Return directions (size, count) as they will be saved."""
        return pack(found, self.bits) if self.bits < PLAIN else found.T.to(DIRECTIONS)

    def randomise(self) -> None:
        """Set random directions."""
        self.set(
            Side(torch.linalg.qr(torch.randn(self.size, self.count, dtype=torch.float32)).Q, torch.ones(self.size))
        )

    @torch.no_grad()
    def set(self, side: Side) -> None:
        """Set the first `count` of these orthonormal directions, rounded as they will be saved."""
        self.weight.copy_(self.rounded(side.directions[:, : self.count]))
        self._is_found = True

    def times(self, rows: torch.Tensor | None, directions: Given) -> torch.Tensor:
        """Return rows (..., m, count) times V^T, (..., m, size), for one branch or several; V^T itself without rows."""
        packed = self.bits < PLAIN
        if isinstance(directions, tuple):
            assert rows is not None
            product = one_by_one(rows, directions, self.dense, on_the_left=True)
        else:
            dense = self.dense(directions, torch.float32 if rows is None else rows.dtype) if packed else directions
            product = dense if rows is None else rows @ dense
        return gathered(product, self.size) if packed else product

    def dense(self, directions: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the numbers of directions; of packed ones the spread numbers, (count, n)."""
        return unpack(directions, self.bits, self.size, dtype) if self.bits < PLAIN else directions.to(dtype)

    def look_again(self) -> None:
        """Check whether directions are set after something else wrote to the matrix."""
        self._is_found = not self.weight.is_meta and bool(self.weight.any())


def _look_again(module: nn.Module, _: Any) -> None:
    """Hook after a state dict was loaded."""
    if isinstance(module, BasisMap):
        module.look_again()


class _Writes(BasisMap):
    """A map with one direction in each column of its matrix; so is `weight` if it is not packed."""

    def empty(self) -> torch.Tensor:
        """Return the tensor of directions that are not known yet."""
        return super().empty() if self.bits < PLAIN else super().empty().T.contiguous()

    def rounded(self, found: torch.Tensor) -> torch.Tensor:
        """Return directions (size, count) as they will be saved."""
        return super().rounded(found) if self.bits < PLAIN else found.to(DIRECTIONS)

    def times(self, rows: torch.Tensor | None, directions: Given) -> torch.Tensor:
        """Return V times columns (..., count, m), (..., size, m); V itself without columns."""
        if self.bits < PLAIN:
            return super().times(None if rows is None else rows.mT, directions).mT
        if isinstance(directions, tuple):
            assert rows is not None
            return one_by_one(rows, directions, self.dense, on_the_left=False)
        return directions if rows is None else directions @ rows


class _Subspace(BasisMap):
    """Fixed directions, and a trained linear map between them and r."""

    words = "an orthonormal basis that was not trained and a linear map"
    sizes: ClassVar[Mapping[str, str]] = {"width": "{} directions where a layer has as many"}
    parts: ClassVar[Mapping[str, Part]] = {"linear_weight": "linear"}
    one_by_one: tuple[int, ...] = (1,)
    linear_weight: nn.Parameter

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Count k r parameters of the linear map, k directions."""
        return Count(linear=config.r * config.directions(d_in, d_out))

    def tensors(self) -> list[torch.Tensor]:
        """Return the linear map and the directions."""
        return [self.linear_weight, self.weight]

    def form(self) -> Hashable:
        """Return class, size and bits, which the shape of packed directions does not determine."""
        return type(self).__name__, self.size, self.bits

    @torch.no_grad()
    def reset(self, start: str, zero: bool, scale: float = 1.0) -> None:
        """Clear the directions; set the linear map to zero, or to kaiming-uniform values with LoRA's a = sqrt(5).

        Scaled: entries of variance scale^2 / in.
        """
        super().reset(start, zero, scale)
        if zero:
            nn.init.zeros_(self.linear_weight)
        elif start == "scaled":
            nn.init.normal_(self.linear_weight, std=scale * self.linear_weight.shape[1] ** -0.5)
        else:
            nn.init.kaiming_uniform_(self.linear_weight, a=math.sqrt(5))


class SubspaceCompress(_Subspace):
    """The map d_in -> k by k fixed directions V, k -> r by a trained linear map A: matrix A V^T, (r, d_in)."""

    def __init__(self, into: int, count: int, r: int, kind: str, bits: int = PLAIN):
        super().__init__(count, into, kind, bits)
        self.linear_weight = nn.Parameter(torch.zeros(r, count))

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the map with min(width, d_in, d_out) directions."""
        return cls(d_in, config.directions(d_in, d_out), config.r, config.basis, config.basis_bits)

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        """Return A V^T."""
        return self.times(tensors[0], tensors[1])


class SubspaceExpand(_Subspace, _Writes):
    """The map r -> k by a trained linear map B, k -> d_out by k fixed directions U: matrix U B, (d_out, r)."""

    def __init__(self, r: int, count: int, out: int, kind: str, bits: int = PLAIN):
        super().__init__(count, out, kind, bits)
        self.linear_weight = nn.Parameter(torch.zeros(count, r))

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the map with min(width, d_in, d_out) directions."""
        return cls(config.r, config.directions(d_in, d_out), d_out, config.basis, config.basis_bits)

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        """Return U B."""
        return self.times(tensors[0], tensors[1])


class SparseExpand(_Subspace):
    """The map r -> d_out by a trained B (count, r) that writes to `count` chosen outputs: (d_out, r), other rows zero.

    `weight` (d_out,) is 1 at the chosen outputs and 0 elsewhere, packed in one bit each if directions are packed. The
    rows of B are in the order of the outputs.
    """

    words = "a linear map to some outputs, which were chosen before the training"
    sizes: ClassVar[Mapping[str, str]] = {"share": "{:g} of a layer's outputs"}
    one_by_one = ()

    def __init__(self, r: int, count: int, out: int, kind: str, bits: int = PLAIN):
        super().__init__(count, out, kind, bits)
        self.linear_weight = nn.Parameter(torch.zeros(count, r))

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the map with round(share d_out) outputs, at least 1."""
        return cls(config.r, config.outputs(d_out), d_out, config.basis, config.basis_bits)

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Count round(share d_out) r parameters."""
        return Count(linear=config.r * config.outputs(d_out))

    def empty(self) -> torch.Tensor:
        """Return the tensor of outputs that are not chosen yet."""
        packed = self.bits < PLAIN
        return torch.zeros(-(-self.size // 8) if packed else self.size, dtype=torch.uint8 if packed else DIRECTIONS)

    def chosen(self, weight: torch.Tensor) -> torch.Tensor:
        """Return 1 for each output that is written to, 0 for others, (..., d_out), from `weight` or a stack of them."""
        return unpack_codes(weight, 1, self.size) if self.bits < PLAIN else weight

    @property
    def wanted(self) -> int:
        """Number of directions from which the sketch estimates the lengths of the gradient's rows well enough."""
        return LEAST_FOR_OUTPUTS

    def randomise(self) -> None:
        """Choose random outputs."""
        norms = torch.rand(self.size)
        self.set(Side(norms[:, None], norms))

    @torch.no_grad()
    def set(self, side: Side) -> None:
        """Choose the outputs with the largest norms."""
        chosen = torch.zeros(self.size, dtype=torch.uint8)
        chosen[side.norms.topk(self.count).indices.cpu()] = 1
        self.weight.copy_(pack_codes(chosen, 1) if self.bits < PLAIN else chosen)
        self._is_found = True

    def contract(self, tensors: Sequence[Any]) -> torch.Tensor:
        """Scatter the rows of B: a chosen output takes the row numbered by the chosen outputs before it."""
        trained, chosen = tensors[0], self.chosen(tensors[1])
        places = ((chosen != 0).long().cumsum(-1) - 1).clamp(0, trained.shape[-2] - 1)
        rows = trained.gather(-2, places[..., None].expand(*places.shape, trained.shape[-1]))
        return rows * chosen[..., None]


class _Basis(BasisMap):
    """As many fixed directions as the rank, and nothing trained."""

    @classmethod
    def trained_on(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Count:
        """Count nothing: no part is trained."""
        return Count()

    def contract(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the directions themselves."""
        return self.times(None, tensors[0])


def _check_rank(r: int, size: int, side: str) -> None:
    if r > size:
        raise QweftError(
            f"r = {r} directions cannot be a basis of a layer with {side} = {size}; choose r of at most {size}, by "
            "rank_pattern for this layer alone"
        )


class BasisCompress(_Basis):
    """The map d_in -> r where c_i is the component of x along direction i: matrix (r, d_in)."""

    def __init__(self, into: int, r: int, kind: str, bits: int = PLAIN):
        super().__init__(r, into, kind, bits)

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the map with r directions of the input."""
        _check_rank(config.r, d_in, "d_in")
        return cls(d_in, config.r, config.basis, config.basis_bits)


class BasisExpand(_Basis, _Writes):
    """The map r -> d_out to the sum of h_i times direction i: matrix (d_out, r)."""

    def __init__(self, r: int, out: int, kind: str, bits: int = PLAIN):
        super().__init__(r, out, kind, bits)

    @classmethod
    def on_layer(cls, config: ResolvedConfig, d_in: int, d_out: int) -> Self:
        """Return the map with r directions of the output."""
        _check_rank(config.r, d_out, "d_out")
        return cls(config.r, d_out, config.basis, config.basis_bits)


COMPRESS: dict[str, type[LinearMap]] = {**maps.COMPRESS, "basis": BasisCompress, "subspace": SubspaceCompress}
EXPAND: dict[str, type[LinearMap]] = {
    **maps.EXPAND,
    "basis": BasisExpand,
    "subspace": SubspaceExpand,
    "sparse": SparseExpand,
}
"""Every kind of map E, fixed or not, by its name in a config."""
