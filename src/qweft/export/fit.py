"""The best linear map from a layer's input to what its circuit makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qweft.export.moments import Moments

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates for the ridge, in units of an input's mean square."""
CHOICES = (None, *RIDGES) * 2
"""None: the part in c alone. First with the affine fit in c, then with the linear one."""


@dataclass(frozen=True)
class Fit:
    """A linear map in the place of a circuit.

    Args:
        matrix: G (features, d), such that f(x) is about G x.
        explained: Share of the features' mean square, weighted by what the branch makes of them, that maps fitted to
            one half of the rows explain on the other half, where the ridges were chosen too. Below zero it is worse
            than nothing.
        ridges: The ridge that did best there, for each feature; none means that the fit in c alone did.
    """

    matrix: torch.Tensor
    explained: float
    ridges: tuple[float | None, ...]


def fit_features(halves: Sequence[Moments], compress: torch.Tensor, weight: torch.Tensor) -> Fit:
    """Fit f(x), the circuit's features, by G x.

        G = L C + R,   L, b = argmin sum |f - L C x - b|^2,   R = argmin sum |f - L C x - R x|^2 + ridge tr(R D R^T)

    L is the affine fit in the r numbers that the circuit reads. Its constant b has no place in a LoRA, nor has what
    else x says of f; R takes up of both what a linear map of the whole x can. D is the diagonal of sum x x^T. Where R
    cannot make up for b, L of the linear fit, without b, does better. So each feature chooses its L, its ridge, and
    whether it has R at all, by fitting one half of the rows and measuring on the other, both ways.

    Args:
        halves: Moments of even and odd rows.
        compress: C, (r, d).
        weight: W (features, features), symmetric: an error e of the features costs e^T W e.

    Returns:
        The fit to all rows.
    """
    compress, weight = compress.double().cpu(), weight.double().cpu()
    folds = [(_candidates(fitted, compress), checked) for fitted, checked in (halves, halves[::-1])]
    per_fold = [torch.stack([_errors(checked, one).diagonal() for one in maps]) for maps, checked in folds]
    best = (per_fold[0] + per_fold[1]).argmin(0)
    missed = sum((_errors(checked, _pick(maps, best)) * weight).sum().item() for maps, checked in folds)
    total = halves[0] + halves[1]
    power = (total.ff * weight).sum().item()
    ridges = tuple(CHOICES[at] for at in best.tolist())
    return Fit(_pick(_candidates(total, compress), best), 1 - missed / power if power > 0 else 1.0, ridges)


def _pick(maps: Sequence[torch.Tensor], best: torch.Tensor) -> torch.Tensor:
    """Each feature's row from the map of its choice."""
    return torch.stack([maps[at][feature] for feature, at in enumerate(best.tolist())])


def _candidates(moments: Moments, compress: torch.Tensor) -> list[torch.Tensor]:
    """G for each of the choices."""
    diagonal = moments.xx.diagonal()
    scale = diagonal.clamp_min(diagonal.max() * 1e-12 + torch.finfo(torch.float64).tiny).rsqrt()
    bases = [_fit_in_c(moments, compress, affine) @ compress for affine in (True, False)]
    rests = [((moments.fx - base @ moments.xx) * scale).T for base in bases]
    found = [[base] for base in bases]
    normal = scale[:, None] * moments.xx * scale
    for ridge, before in zip(RIDGES, (0.0, *RIDGES), strict=False):
        normal.diagonal().add_(ridge - before)
        factor, failed = torch.linalg.cholesky_ex(normal)
        for base, rest, maps in zip(bases, rests, found, strict=True):
            # rounding can leave the matrix of a long x below zero by more than a small ridge
            maps.append(base if failed else base + torch.cholesky_solve(rest, factor).T * scale)
    return [one for maps in found for one in maps]


def _fit_in_c(moments: Moments, compress: torch.Tensor, affine: bool) -> torch.Tensor:
    """L of f = L c + b in c = C x, or of f = L c."""
    tokens = moments.tokens if affine else float("inf")
    square = compress @ (moments.xx - torch.outer(moments.x, moments.x) / tokens) @ compress.T
    cross = (moments.fx - torch.outer(moments.f, moments.x) / tokens) @ compress.T
    return cross @ torch.linalg.pinv(square, hermitian=True, rtol=1e-10)


def _errors(moments: Moments, matrix: torch.Tensor) -> torch.Tensor:
    """Sum of (f - G x) (f - G x)^T."""
    mixed = matrix @ moments.fx.T
    return moments.ff - mixed - mixed.T + matrix @ moments.xx @ matrix.T
