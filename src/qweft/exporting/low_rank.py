"""The LoRA of a rank that meets a change of weights best on text: layer by layer, from second moments of the inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from qweft.core.errors import QweftError
from qweft.core.progress import progress
from qweft.evaluation.loss import judged
from qweft.exporting.fit import Batch, Moments, moments_of
from qweft.exporting.lora import Lora, trained_whole, tuner_layers

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Ranks that are tried where none is given."""
RIDGE = 1e-3
"""What is added to the mean square of each input, as a share of the mean over inputs: text has unseen directions."""


def factors(
    change: torch.Tensor, moments: Sequence[Moments], most: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return A = U^T D, B = U and each rank's kept share, U the left singular vectors of D M^(1/2), M = sum x x^T."""
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
    return (up.T @ change).float(), up.float(), kept[:most]


def nearest(
    model: Any, changes: Mapping[str, torch.Tensor], batches: Sequence[Batch], most: int = RANKS[-1]
) -> tuple[Lora, dict[str, torch.Tensor]]:
    """Return the LoRA that is nearest to changes of layers on the tokens of some batches, and what each rank keeps."""
    layers = {name: layer for name, layer in tuner_layers(model).items() if name in changes}
    if not layers:
        raise QweftError("the adapter changes no linear layer, and a LoRA changes nothing else")
    pairs, kept = {}, {}
    with judged(model), progress("making the LoRA", len(layers), "layer") as tick:
        for name, moments in moments_of(model, layers, batches):
            down, up, kept[name] = factors(changes[name], moments, most)
            pairs[name] = down, up
            tick(1)
    return Lora.of(pairs, trained_whole(model)), kept
