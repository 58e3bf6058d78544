"""Directions that no data are needed for, and how a branch is given any.

Fixed bases of W0's own singular directions are LoRA-XS's (arXiv 2405.17604), here without its singular values.
"""

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from qweft.adapter.basis_maps import BasisMap, SparseExpand
from qweft.adapter.prepared import Branch
from qweft.adapter.sketch import SEED, Directions, Side

LEAST_FOR_OUTPUTS = 32
"""Directions that are looked for where outputs are chosen: the sketch then knows the lengths of rows to within 6%."""
POWER_STEPS = 8
"""Of the decomposition of W0, whose singular values fall slowly."""


def bases_of(branch: Branch) -> list[BasisMap]:
    """The maps of a branch that are fixed bases."""
    return [part for part in (branch.compress, branch.expand) if isinstance(part, BasisMap)]


def count_of(branch: Branch) -> int:
    """Directions that the branch has room for, on the side that has more; where outputs are chosen, enough for that."""
    return max(LEAST_FOR_OUTPUTS if isinstance(part, SparseExpand) else part.count for part in bases_of(branch))


def give(branch: Branch, directions: Directions) -> None:
    """Let the branch's bases be these directions; of several processes, those of the first."""
    for part, found in zip((branch.compress, branch.expand), directions, strict=True):
        if isinstance(part, BasisMap):
            part.set(found)
            if is_distributed():
                torch.distributed.broadcast(part.weight, 0)


def is_distributed() -> bool:
    """Whether other processes train the same adapter."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@torch.no_grad()
def of_weight(layer: Any, r: int) -> Directions:
    """The leading singular directions of W0."""
    weight = layer.get_base_weight().detach().float()
    if isinstance(layer.get_base_layer(), Conv1D):
        weight = weight.T
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)  # of the CPU alone: no other is put back
        left, _, right = torch.svd_lowrank(weight.cpu(), q=min(2 * r + 8, *weight.shape), niter=POWER_STEPS)
    return Side(right[:, :r], weight.norm(dim=0).cpu()), Side(left[:, :r], weight.norm(dim=1).cpu())


def random(layer: Any, r: int) -> Directions:
    """Random ones, other ones at each call."""
    into, out = (torch.randn(size, r) for size in (layer.in_features, layer.out_features))
    return Side(torch.linalg.qr(into).Q, into[:, 0].abs()), Side(torch.linalg.qr(out).Q, out[:, 0].abs())
