"""The LoRA of a rank that meets a change of weights best on text: layer by layer, from second moments of the inputs."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qweft.errors import QweftError
from qweft.evaluation.loss import judged
from qweft.exporting.fit import Batch, Moments, moments_of
from qweft.exporting.lora import Lora, padded
from qweft.text import progress

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Ranks that are tried where none is given."""
RIDGE = 1e-3
"""What is added to the mean square of each input, as a share of the mean over inputs: text has unseen directions."""


@dataclass(frozen=True)
class Factors:
    """A change as a sum of products of `up` (d_out, k), orthonormal, and `down` (k, d_in), that with most effect first.

    `kept` (k,) is the share of the change's mean square output that the first ones keep.
    """

    down: torch.Tensor
    up: torch.Tensor
    kept: torch.Tensor


def factors(change: torch.Tensor, moments: Sequence[Moments], most: int = RANKS[-1]) -> Factors:
    """Return the factors of a change D (d_out, d_in) whose first k have the least error on the tokens, for each k.

        min over B A of rank k of sum_x |(D - B A) x|^2:   B = U_k,   A = U_k^T D

    U_k are the k first left singular vectors of D M^(1/2), with M the second moments of the inputs x.
    """
    change = change.double().cpu()
    second = sum(half.xx for half in moments)
    assert isinstance(second, torch.Tensor)
    second.diagonal().add_(RIDGE * second.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny))
    seen = change @ torch.linalg.cholesky(second)
    if seen.shape[0] <= seen.shape[1]:
        squares, up = torch.linalg.eigh(seen @ seen.T)
    else:
        squares, right = torch.linalg.eigh(seen.T @ seen)
        up = seen @ right * squares.clamp_min(squares[-1] * 1e-15 + torch.finfo(torch.float64).tiny).rsqrt()
    squares, up = squares.clamp_min(0).flip(0), up.flip(1)[:, :most]
    kept = squares.cumsum(0) / squares.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return Factors((up.T @ change).float(), up.float(), kept[:most])


def all_factors(
    model: Any, changes: Iterable[tuple[str, Any, torch.Tensor]], batches: Sequence[Batch], most: int = RANKS[-1]
) -> dict[str, Factors]:
    """Return the factors of each changed layer on the tokens of some batches."""
    found = {name: (layer, change) for name, layer, change in changes}
    layers = {name: layer for name, (layer, _) in found.items()}
    if not layers:
        raise QweftError("the adapter changes no linear layer, and a LoRA changes nothing else")
    made = {}
    with judged(model), progress("making the LoRA", len(layers), "layer") as tick:
        for name, moments in moments_of(model, layers, batches):
            made[name] = factors(found[name][1], moments, most)
            tick(1)
    return made


def lora_of(
    found: Mapping[str, Factors], rank: int, whole: Mapping[str, torch.Tensor]
) -> tuple[Lora, dict[str, float]]:
    """Return the LoRA of a rank, and what share of each layer's change it keeps."""
    rank = min(rank, max(len(each.down) for each in found.values()))
    pairs = {name: padded(each.down[:rank], each.up[:, :rank], rank) for name, each in found.items()}
    down, up = ({name: pair[place] for name, pair in pairs.items()} for place in (0, 1))
    return Lora(rank, down, up, whole), {name: float(each.kept[:rank][-1]) for name, each in found.items()}


def smallest(keeps: Callable[[int], bool], ranks: Sequence[int] = RANKS) -> int:
    """Return the smallest rank that keeps enough, by bisection; the largest if none does."""
    return ranks[bisect_left(ranks, True, hi=len(ranks) - 1, key=keeps)]
