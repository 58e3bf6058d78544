"""The Jacobian of a branch over real tokens: its rank at a token, over all tokens, and how many maps it is."""

from dataclasses import dataclass

import torch

from qweft.analysis.layers import LayerMap

TOLERANCE = 1e-6
"""A singular value counts towards a numerical rank where it is above this share of the largest."""


@dataclass(frozen=True)
class Spread:
    """The Jacobians of one layer; ranks are zero, and shares none, where the branch is zero.

    Args:
        effective_rank_token: Mean over tokens of the effective rank of J(x).
        stable_rank_token: ... of the stable rank |J|_F^2 / |J|_2^2.
        rank_token: ... of the numerical rank.
        effective_rank_input: Effective rank of the mean of J^T J.
        effective_rank_output: Effective rank of the mean of J J^T.
        rank_input: Numerical rank of all Jacobians below each other: dimensions of the input that any token reads.
        rank_output: ... beside each other: dimensions of the output that any token writes.
        different_maps: Effective rank of the Jacobians as vectors, one for each token; 1 for a linear branch.
        rank_maps: Their numerical rank.
        varying_share: mean |J - mean J|_F^2 / mean |J|_F^2: 0 for a linear branch.
        spectrum: Square roots of the eigenvalues of the mean of J^T J, largest first, over the largest.
    """

    effective_rank_token: float
    stable_rank_token: float
    rank_token: float
    effective_rank_input: float
    effective_rank_output: float
    rank_input: int
    rank_output: int
    different_maps: float
    rank_maps: int
    varying_share: float | None
    spectrum: list[float]


def effective_rank(singular: torch.Tensor) -> torch.Tensor:
    """exp(- sum_k p_k ln p_k), p_k = s_k^2 / sum_j s_j^2: how many directions share the energy. 0 for a zero matrix.

    Between 1 and the number of singular values that are not zero; equal shares give just that number.

    Args:
        singular: (..., k) singular values.

    Source: Roy & Vetterli, The effective rank, EUSIPCO 2007, who take p_k = s_k / sum_j s_j; with squares it is never
    larger, and the shares are those of the mean square of what the map puts out for white input.
    """
    energy = singular.square()
    total = energy.sum(-1, keepdim=True)
    shares = energy / torch.where(total > 0, total, 1)
    found = torch.special.entr(shares).sum(-1).exp()
    return torch.where(total.squeeze(-1) > 0, found, 0)


def numerical_rank(singular: torch.Tensor) -> torch.Tensor:
    """How many singular values are above `TOLERANCE` times the largest of them."""
    return (singular > TOLERANCE * singular.amax(-1, keepdim=True)).sum(-1)


def feature_jacobians(layer_map: LayerMap, c: torch.Tensor) -> torch.Tensor:
    """f'(c), (tokens, features, r), one backward pass for each feature."""
    with torch.enable_grad():
        leaf = c.detach().clone().requires_grad_()
        features = layer_map.features(leaf)
        # tokens do not mix, so the gradient of a sum over tokens is the gradient of each
        rows = [torch.autograd.grad(feature.sum(), leaf, retain_graph=True)[0] for feature in features.unbind(-1)]
    return torch.stack(rows, 1)


def small_jacobians(layer_map: LayerMap, c: torch.Tensor) -> torch.Tensor:
    """S (tokens, f', r') with J(x) = X f'(c) C = Q_X S Q_C, Q_X of orthonormal columns, Q_C of orthonormal rows."""
    return layer_map.out @ feature_jacobians(layer_map, c) @ layer_map.into


def spread_of(jacobians: torch.Tensor) -> Spread:
    """All numbers, from the small factors of the Jacobians at some tokens.

    Args:
        jacobians: (tokens, f', r') of `small_jacobians`.
    """
    per_token = torch.linalg.svdvals(jacobians)
    energy, largest = per_token.square().sum(-1), per_token.amax(-1).square()
    read = torch.linalg.svdvals(jacobians.flatten(0, 1))  # all below each other: sum of J^T J
    written = torch.linalg.svdvals(jacobians.mT.flatten(0, 1))
    maps = torch.linalg.svdvals(jacobians.flatten(1))
    total = float(energy.mean())
    around = (jacobians - jacobians.mean(0)).square().sum((1, 2)).mean()
    return Spread(
        effective_rank_token=float(effective_rank(per_token).mean()),
        stable_rank_token=float((energy / torch.where(largest > 0, largest, 1)).mean()),
        rank_token=float(numerical_rank(per_token).double().mean()),
        effective_rank_input=float(effective_rank(read)),
        effective_rank_output=float(effective_rank(written)),
        rank_input=int(numerical_rank(read)),
        rank_output=int(numerical_rank(written)),
        different_maps=float(effective_rank(maps)),
        rank_maps=int(numerical_rank(maps)),
        varying_share=float(around) / total if total else None,
        spectrum=(read / torch.where(read[0] > 0, read[0], 1)).tolist(),
    )
