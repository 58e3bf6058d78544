"""The leading singular directions of a layer's gradient, without the gradient itself.

    G = d loss / d W0 = sum over tokens of dy x^T,   G = U S V^T,   C = (V_1 .. V_r)^T,   E = (U_1 .. U_r)

Then the gradient with respect to K, at K = 0, is alpha / r times the r x r block of G that holds the most of it. The
gradient's directions are LoRA-GA's start of trained maps (arXiv 2407.05000), and LoRA-SB (arXiv 2411.19557) fixes bases
that approximate the first update, with another start of K.

G is never formed. Each layer adds up two products with random matrices while the batches go by, and G is rebuilt from
these (the one-pass sketch of Tropp, Yurtsever, Udell and Cevher, arXiv 1609.00048): memory for 12 r numbers of each
input and output of a layer, one pass over the batches, and nothing asked of the base layer, which may be quantized.
"""

import torch

OVERSAMPLING = 4
"""Columns of the sketch for each direction that is wanted; the sketch of the other side has twice as many."""
SEED = 20250312
"""Of the sketches' random matrices, so that the same batches give the same directions whatever was drawn before."""

Directions = tuple[torch.Tensor, torch.Tensor]
"""Orthonormal columns on the side of a layer's input, (d_in, r), and of its output, (d_out, r)."""


class GradientSketch:
    """Y = G Omega and Z = Psi G of one layer, added up token by token; Omega is (d_in, k), and Psi (2 k, d_out).

    Args:
        into: d_in.
        out: d_out.
        r: Directions wanted.
        device: Where it is added up.
    """

    def __init__(self, into: int, out: int, r: int, device: torch.device):
        self.r = r
        k = min(OVERSAMPLING * r, into, out)
        generator = torch.Generator().manual_seed(SEED)
        self._omega = torch.randn(into, k, generator=generator).to(device)
        self._psi = torch.randn(2 * k, out, generator=generator).to(device)
        self._y, self._z = torch.zeros(out, k, device=device), torch.zeros(2 * k, into, device=device)

    @torch.no_grad()
    def add(self, x: torch.Tensor, dy: torch.Tensor) -> None:
        """Inputs (..., d_in) of the layer and the loss's gradients with respect to its outputs (..., d_out)."""
        device = self._y.device
        x, dy = (rows.reshape(-1, rows.shape[-1]).to(device, torch.float32) for rows in (x, dy))
        self._y += dy.T @ (x @ self._omega)
        self._z += (dy @ self._psi.T).T @ x

    def sums(self) -> list[torch.Tensor]:
        """Y and Z themselves: those of several processes add up to those of all their tokens."""
        return [self._y, self._z]

    def directions(self) -> Directions:
        """V (d_in, r) and U (d_out, r), the leading singular directions of G, on the CPU."""
        y, z, psi = (tensor.cpu().double() for tensor in (self._y, self._z, self._psi))
        frame = torch.linalg.qr(y).Q
        rest = torch.linalg.lstsq(psi @ frame, z).solution  # (k, d_in), G = frame rest
        left, _, right = torch.linalg.svd(rest, full_matrices=False)
        return right[: self.r].T.float(), (frame @ left[:, : self.r]).float()

    @property
    def is_finite(self) -> bool:
        """Whether the gradient was a number throughout."""
        return bool(torch.isfinite(self._y).all())

    @property
    def is_zero(self) -> bool:
        """Whether there was no gradient."""
        return not bool(self._y.any())
