"""Second moments of layers' inputs, and from them the best linear map from an input to its circuit's features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

from qweft.circuit.precision import exact_products
from qweft.core.errors import QweftError
from qweft.evaluation.on_device import watch

Batch = Mapping[str, Any]
Features = Callable[[str, torch.Tensor], torch.Tensor]
"""Takes a layer's name and inputs (tokens, d), and returns what its circuit makes of them (tokens, features)."""
MEMORY = 2**31
"""Most bytes of second moments in memory; layers that do not fit take further passes over the batches."""
HALVES = 2
"""Even and odd rows, for cross-validation: a fit to one half is checked on the other."""


@dataclass(frozen=True)
class Moments:
    """Sums over tokens of x x^T, f x^T, f f^T, x and f in float64, and the number of tokens."""

    tokens: int
    xx: torch.Tensor
    fx: torch.Tensor
    ff: torch.Tensor
    x: torch.Tensor
    f: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor, f: torch.Tensor) -> "Moments":
        """Return those of tokens x (tokens, d) with features f."""
        with exact_products(x.device):
            xx = x.T @ x
        return cls(len(x), *(sums.cpu().double() for sums in (xx, f.T @ x, f.T @ f, x.sum(0), f.sum(0))))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(*(one + two for one, two in zip(vars(self).values(), vars(other).values(), strict=True)))


def moments_of(
    model: Any, layers: Mapping[str, Any], batches: Sequence[Batch], features: Features | None = None
) -> Iterator[tuple[str, list[Moments]]]:
    """Yield each layer's moments of even and of odd rows, without padding; a pass records as many layers as fit."""
    waiting = list(layers.items())
    while waiting:
        sizes = accumulate(HALVES * 8 * layer.in_features**2 for _, layer in waiting)
        count = max(1, sum(size <= MEMORY for size in sizes))
        part, waiting = dict(waiting[:count]), waiting[count:]
        yield from collect(model, part, batches, features).items()


def collect(
    model: Any, layers: Mapping[str, Any], batches: Sequence[Batch], features: Features | None = None
) -> dict[str, list[Moments]]:
    """Run the adapted model on batches; return the moments of even and of odd rows by layer name."""
    moments: dict[str, list[Moments]] = {}

    def see(name: str, x: torch.Tensor, _: torch.Tensor, rows: torch.Tensor, kept: torch.Tensor) -> None:
        tokens = x.reshape(-1, x.shape[-1]).float()
        parts = [tokens[kept & (rows % HALVES == half)] for half in range(HALVES)]
        new = [Moments.of(x, x.new_zeros(len(x), 0) if features is None else features(name, x)) for x in parts]
        known = moments.get(name)
        moments[name] = new if known is None else [one + other for one, other in zip(known, new, strict=True)]

    watch(model, layers, batches, see, at_base=False)
    for name in layers:
        if not any(half.tokens for half in moments.get(name, ())):
            raise QweftError(f"no token reached layer {name}, which is to be fitted; give more rows of text")
    return moments


RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates for the ridge, relative to the sum of squares of each input; beside them R = 0."""


def fit_features(halves: Sequence[Moments], compress: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return G (features, d) of the linear map G x nearest to a circuit's features f(x), and what it explains of them.

        G = L C + R,   L, b = argmin sum |f - L C x - b|^2,   R = argmin sum |f - L C x - R x|^2 + ridge tr(R D R^T)

    C = `compress` (r, d), D is the diagonal of sum x x^T, and an error e costs e^T W e with W = `weight`. Two-fold
    cross-validation over the halves chooses L (affine or linear), the ridge and R for each feature, and judges them.
    """
    compress, weight = compress.double().cpu(), weight.double().cpu()
    folds = [(_candidates(fitted, compress), checked) for fitted, checked in (halves, halves[::-1])]
    per_fold = [torch.stack([_errors(checked, one).diagonal() for one in maps]) for maps, checked in folds]
    best = (per_fold[0] + per_fold[1]).argmin(0)
    missed = sum((_errors(checked, _pick(maps, best)) * weight).sum().item() for maps, checked in folds)
    total = halves[0] + halves[1]
    power = (total.ff * weight).sum().item()
    return _pick(_candidates(total, compress), best), 1 - missed / power if power > 0 else 1.0


def _pick(maps: Sequence[torch.Tensor], best: torch.Tensor) -> torch.Tensor:
    """Return the matrix with each feature's row taken from its best map."""
    return torch.stack([maps[at][feature] for feature, at in enumerate(best.tolist())])


def _candidates(moments: Moments, compress: torch.Tensor) -> list[torch.Tensor]:
    """Return G without R and with each ridge, first for the affine fit in c, then for the linear one."""
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
            # rounding can make the eigenvalues of a large matrix negative by more than a small ridge
            maps.append(base if failed else base + torch.cholesky_solve(rest, factor).T * scale)
    return [one for maps in found for one in maps]


def _fit_in_c(moments: Moments, compress: torch.Tensor, affine: bool) -> torch.Tensor:
    """Return L of the fit f = L c + b with c = C x, or of f = L c if not `affine`."""
    tokens = moments.tokens if affine else float("inf")
    square = compress @ (moments.xx - torch.outer(moments.x, moments.x) / tokens) @ compress.T
    cross = (moments.fx - torch.outer(moments.f, moments.x) / tokens) @ compress.T
    return cross @ torch.linalg.pinv(square, hermitian=True, rtol=1e-10)


def _errors(moments: Moments, matrix: torch.Tensor) -> torch.Tensor:
    """Return the sum over tokens of (f - G x) (f - G x)^T."""
    mixed = matrix @ moments.fx.T
    return moments.ff - mixed - mixed.T + matrix @ moments.xx @ matrix.T
