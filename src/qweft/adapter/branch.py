"""One branch, x (d_in,) to s E(core(C x)) (d_out,): its three parts, from a config and a layer's sizes."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from qweft.adapter.cores import Core, make_core
from qweft.adapter.maps import MAPS, FixedMap, LinearMap, alike
from qweft.circuit.precision import exact_products
from qweft.method.fields import QwthnFields
from qweft.method.names import TWINS, Part, function_of


class Branch(NamedTuple):
    """The three parts of one adapter on one layer."""

    compress: LinearMap
    core: Core
    expand: LinearMap

    def tensors(self) -> list[torch.Tensor]:
        """Return all parameters and fixed tensors."""
        return [*self.compress.tensors(), *self.core.tensors(), *self.expand.tensors()]

    def build(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Contract such tensors, or stacks of them, to the matrices and angles that a token needs."""
        # in half precision the matrix that produces the angles would round them, too
        tensors = alike(tensors, torch.float32 if self.core.reads_angles else torch.bfloat16)
        first = len(self.compress.tensors())
        last = first + len(self.core.tensors())
        compress, core, expand = tensors[:first], tensors[first:last], tensors[last:]
        # the type of what is trained; packed directions have none
        kind = next(tensor.dtype for tensor in tensors if tensor.is_floating_point())
        with exact_products(tensors[0].device):
            return (
                self.compress.contract_limited(compress).to(kind),
                self.core.combine(self.expand.contract_limited(expand).to(kind), core),
                *self.core.angles_of(core),
            )

    @property
    def is_found(self) -> bool:
        """Whether the directions of all fixed maps are known."""
        return self.compress.is_found and self.expand.is_found

    def form(self) -> Hashable:
        """Return a key: branches of one key, whose tensors agree in shape, dtype and device, are built in one batch."""
        return self.compress.form(), self.core.form(), self.expand.form(), self.compress.limit, self.expand.limit

    def set_limit(self, limit: float | None) -> None:
        """Keep the factors of C and E within `QwthnConfig.factor_limit`."""
        self.compress.limit = self.expand.limit = limit

    @property
    def bases(self) -> list[FixedMap]:
        """The maps that are fixed or have a fixed part."""
        return [part for part in (self.compress, self.expand) if isinstance(part, FixedMap)]


def make_branch(config: QwthnFields, into: int, r: int, out: int) -> Branch:
    """Return the branch into -> r -> out, before initialisation."""
    at = config.resolved(r)
    core = make_core(at)
    compress, expand = MAPS[at.compress](at, into, out, writes=False), MAPS[at.expand](at, into, out, writes=True)
    branch = Branch(compress, core, expand)
    branch.set_limit(config.factor_limit)
    return branch


def count_parameters(config: QwthnFields, into: int, out: int, r: int | None = None) -> dict[str, int]:
    """Count the trained parameters of one branch into -> out, by part.

    tensor network   sum_k B_{k-1} j_k i_k B_k of each operator
    linear maps      width r for each operator, k r for each subspace with k = min(width, d_in, d_out),
                     size r for each dense map, round(share d_out) r for a sparse one, r^2 for K, r qubits for Q
    circuit          4 qubits L (a single qubit: 2 L), or the trained parameters of a classical control
    """
    with torch.device("meta"):
        branch = make_branch(config, into, config.r if r is None else r, out)
    function = "twin" if function_of(config.core) in TWINS else "circuit"
    counts = {"tensor_network": 0, "linear": 0, function: 0}
    for part in branch:
        for name, parameter in part.named_parameters():
            kind = part.part_of(name)
            counts[function if kind == "circuit" else kind] += parameter.numel()
    return counts


def parts_of(model: nn.Module) -> dict[int, Part]:
    """Return the part of each parameter of a model's branches by its `id`; a classical control counts as "circuit"."""
    return {
        id(parameter): module.part_of(name)
        for module in model.modules()
        if isinstance(module, LinearMap | Core)
        for name, parameter in module.named_parameters()
    }
