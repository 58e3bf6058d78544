"""How much of a branch's update passes through the circuit, or through the twin in its place."""

from dataclasses import dataclass

import torch

from qweft.analysis.layers import LayerMap


@dataclass(frozen=True)
class Shares:
    """The mean square of the update u = a + b over tokens, by where it comes from.

        circuit + linear + cross = 1,   mean |a|^2, mean |b|^2 and 2 mean <a, b> over mean |u|^2

    Args:
        circuit: a is what passes through the circuit. Above 1 where a and b cancel.
        varying: That part of it which differs from token to token: mean |a - mean a|^2 over mean |u|^2. The rest of it,
            circuit - varying, is a bias.
        linear: b is linear in the input.
        cross: Negative where the two cancel.
    """

    circuit: float
    varying: float
    linear: float
    cross: float


def shares_of(layer_map: LayerMap, c: torch.Tensor) -> Shares | None:
    """The shares at some tokens.

    h = Q q(c) + K c: a = s E Q q(c), b = s E K c. h = Q q(c): a is all there is.

    h = q(c) * c: all of it passes through the circuit, so `circuit` is 1. Here a circuit that does not vary is no bias
    but a weight, so the update is taken apart as s E (mean q * c), `linear`, and s E ((q(c) - mean q) * c), `varying`.
    h = w * c with w = 1 + Q q(c / |c|): in the same way, and a = s E ((w - 1) * c).

    Args:
        layer_map: The branch.
        c: (tokens, r).

    Returns:
        The shares; none where there is no circuit and no twin, or the update is zero.
    """
    own = layer_map.function_features
    if not own:
        return None
    f = layer_map.features(c)
    total = _mean_square(f @ layer_map.out.T)
    if not total:
        return None
    if layer_map.weighs:
        circuit = _mean_square((f - c) @ layer_map.out.T) / total if layer_map.weighs == "gated" else 1.0
        q = torch.where(c == 0, 0, f / torch.where(c == 0, 1, c))
        varying = _mean_square(((q - q.mean(0)) * c) @ layer_map.out.T) / total
        linear = _mean_square((q.mean(0) * c) @ layer_map.out.T) / total
        return Shares(circuit, varying, linear, 1 - varying - linear)
    a, b = (
        part @ out.T for part, out in zip(f.tensor_split([own], 1), layer_map.out.tensor_split([own], 1), strict=True)
    )
    circuit, linear = _mean_square(a) / total, _mean_square(b) / total
    return Shares(circuit, _mean_square(a - a.mean(0)) / total, linear, 1 - circuit - linear)


def _mean_square(vectors: torch.Tensor) -> float:
    """Mean over tokens of the squared length."""
    return float(vectors.square().sum(-1).mean())
