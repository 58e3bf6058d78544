"""Jacobians of a branch over real tokens: ranks at a token, ranks over all tokens, and number of different maps."""

import torch

from qweft.inspect.layers import LayerMap

TOLERANCE = 1e-6
"""Share of the largest singular value above which a singular value counts towards the numerical rank."""


def effective_rank(singular: torch.Tensor) -> torch.Tensor:
    """Return the effective rank, exp(- sum_k p_k ln p_k) with p_k = s_k^2 / sum_j s_j^2."""
    energy = singular.square()
    total = energy.sum(-1, keepdim=True)
    shares = energy / torch.where(total > 0, total, 1)
    found = torch.special.entr(shares).sum(-1).exp()
    return torch.where(total.squeeze(-1) > 0, found, 0)


def numerical_rank(singular: torch.Tensor) -> torch.Tensor:
    """Return how many of the singular values (..., k) are above `TOLERANCE` times the largest one."""
    return (singular > TOLERANCE * singular.amax(-1, keepdim=True)).sum(-1)


def small_jacobians(layer_map: LayerMap, c: torch.Tensor) -> torch.Tensor:
    """Return S (tokens, f', r') of J(x) = X f'(c) C = Q_X S Q_C, orthonormal Q: it has J's singular values."""
    with torch.enable_grad():
        leaf = c.detach().clone().requires_grad_()
        features = layer_map.features(leaf)
        # tokens do not mix, so the gradient of a sum over tokens is the gradient of each
        rows = [torch.autograd.grad(feature.sum(), leaf, retain_graph=True)[0] for feature in features.unbind(-1)]
    return layer_map.out @ torch.stack(rows, 1) @ layer_map.into


def spread_of(jacobians: torch.Tensor) -> tuple[dict[str, float | None], list[float]]:
    """Return ranks and spread of Jacobians over tokens by name, and the spectrum; ranks of a zero branch are zero."""
    per_token = torch.linalg.svdvals(jacobians)
    energy, largest = per_token.square().sum(-1), per_token.amax(-1).square()
    read = torch.linalg.svdvals(jacobians.flatten(0, 1))  # their squares are the eigenvalues of sum J^T J
    written = torch.linalg.svdvals(jacobians.mT.flatten(0, 1))
    maps = torch.linalg.svdvals(jacobians.flatten(1))
    total = float(energy.mean())
    around = (jacobians - jacobians.mean(0)).square().sum((1, 2)).mean()
    return {
        "effective_rank_token": float(effective_rank(per_token).mean()),
        "stable_rank_token": float((energy / torch.where(largest > 0, largest, 1)).mean()),
        "rank_token": float(numerical_rank(per_token).double().mean()),
        "effective_rank_input": float(effective_rank(read)),
        "effective_rank_output": float(effective_rank(written)),
        "rank_input": int(numerical_rank(read)),
        "rank_output": int(numerical_rank(written)),
        "different_maps": float(effective_rank(maps)),
        "rank_maps": int(numerical_rank(maps)),
        "varying_share": float(around) / total if total else None,
    }, (read / torch.where(read[0] > 0, read[0], 1)).tolist()
