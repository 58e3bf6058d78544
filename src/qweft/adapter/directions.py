"""Directions of a layer for fixed maps: of the loss's gradient, of its weight, or random; and giving them to a branch.

The gradient's directions are found without the gradient of a large layer.

    G = d loss / d W0 = sum over tokens of dy x^T,   G = U S V^T,   C = (V_1 .. V_r)^T,   E = (U_1 .. U_r)

Then the gradient with respect to K, at K = 0, is alpha / r times the r x r block of G that holds the most of it. The
gradient's directions are LoRA-GA's start of trained maps (arXiv 2407.05000), and LoRA-SB (arXiv 2411.19557) fixes bases
that approximate the first update, with another start of K.

G of a large layer is never formed: it adds up two products with random matrices while the batches go by, and G is
rebuilt from these (the one-pass sketch of Tropp, Yurtsever, Udell and Cevher, arXiv 1609.00048). Memory for 4 r numbers
of each output of a layer and 8 r of each input, one pass over the batches, and nothing asked of the base layer, which
may be quantized. Where G has at most twice as many numbers, it is added up itself, which is faster.
"""

import torch

from qweft.adapter.branch import Branch
from qweft.adapter.fixed_maps import BasisMap, Directions, Side

OVERSAMPLING = 4
"""Columns of the sketch for each direction that is wanted; the sketch of the other side has twice as many."""
SEED = 20250312
"""Of the sketches' random matrices, so that the same batches give the same directions whatever was drawn before."""
POWER_STEPS = 8
"""Of the decomposition of W0, whose singular values fall slowly."""


class GradientSketch:
    """Y = G Omega and Z = Psi G of one layer, added up token by token; Omega is (d_in, k), and Psi (2 k, d_out).

    Of a small layer, where these would not be half as small, G itself.

    Args:
        into: d_in.
        out: d_out.
        r: Directions wanted.
        device: Where it is added up.
    """

    def __init__(self, into: int, out: int, r: int, device: torch.device):
        self.r = r
        k = min(OVERSAMPLING * r, into, out)
        self._whole: torch.Tensor | None = None
        if into * out <= 2 * (k * out + 2 * k * into):
            self._whole = torch.zeros(out, into, device=device)
            return
        generator = torch.Generator().manual_seed(SEED)
        self._omega = torch.randn(into, k, generator=generator).to(device)
        self._psi = torch.randn(2 * k, out, generator=generator).to(device)
        self._y, self._z = torch.zeros(out, k, device=device), torch.zeros(2 * k, into, device=device)

    @torch.no_grad()
    def add(self, x: torch.Tensor, dy: torch.Tensor) -> None:
        """Inputs (..., d_in) of the layer and the loss's gradients with respect to its outputs (..., d_out)."""
        device = self.sums()[0].device
        x, dy = (rows.reshape(-1, rows.shape[-1]).to(device, torch.float32) for rows in (x, dy))
        if self._whole is not None:
            self._whole.addmm_(dy.T, x)
            return
        self._y += dy.T @ (x @ self._omega)
        self._z += (dy @ self._psi.T).T @ x

    def sums(self) -> list[torch.Tensor]:
        """What is added up: the sums of several processes add up to those of all their tokens."""
        return [self._y, self._z] if self._whole is None else [self._whole]

    def directions(self) -> Directions:
        """V (d_in, r) and U (d_out, r), the leading singular directions of G, and the norms of G's columns and rows.

        On the CPU. Of a G that is not there the norms are those of the products with random matrices, scaled: an
        estimate with a relative deviation of 1 / sqrt(2 k) for rows, and of 1 / sqrt(4 k) for columns.
        """
        return tuple(map(Side, self._leading(), self._norms()))  # type: ignore[return-value]

    def _norms(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._whole is not None:
            g = self._whole.cpu()
            return g.norm(dim=0), g.norm(dim=1)
        return self._z.cpu().norm(dim=0) / len(self._z) ** 0.5, self._y.cpu().norm(dim=1) / self._y.shape[1] ** 0.5

    def _leading(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._whole is not None:
            g = self._whole.cpu().double()
            if len(g) > g.shape[1]:
                into, out = _leading(g.T, self.r)
            else:
                out, into = _leading(g, self.r)
            return into.float(), out.float()
        y, z, psi = (tensor.cpu().double() for tensor in (self._y, self._z, self._psi))
        frame = torch.linalg.qr(y).Q
        # least squares by its normal equations: a random matrix of twice as many rows is far from singular
        seen = psi @ frame
        rest = torch.cholesky_solve(seen.T @ z, torch.linalg.cholesky(seen.T @ seen))  # (k, d_in), G = frame rest
        left, right = _leading(rest, self.r)
        return right.float(), (frame @ left).float()

    @property
    def is_finite(self) -> bool:
        """Whether the gradient was a number throughout."""
        return bool(torch.isfinite(self.sums()[0]).all())

    @property
    def is_zero(self) -> bool:
        """Whether there was no gradient."""
        return not bool(self.sums()[0].any())


def _leading(matrix: torch.Tensor, r: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The leading r left and right singular vectors of a matrix that is no taller than wide, in float64.

    By the eigenvectors of matrix matrix^T, several times as fast as a singular value decomposition. That squares the
    singular values, so directions 1e-8 times as strong as the first are any. Each left one has its largest entry above
    zero, so that sums that differ in rounding alone, as those of several processes do, give the same signs.
    """
    left = torch.linalg.eigh(matrix @ matrix.T).eigenvectors.flip(1)[:, :r]
    left = left * left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
    right, factor = torch.linalg.qr(matrix.T @ left)
    signs = torch.where(factor.diagonal() < 0, -1.0, 1.0).to(right.dtype)
    return left, right * signs


@torch.no_grad()
def of_weight(weight: torch.Tensor, r: int) -> Directions:
    """The leading r singular directions of W0, (d_out, d_in).

    Source: LoRA-XS (arXiv 2405.17604) fixes bases of them, with its singular values, which are left out here.
    """
    weight = weight.detach().float()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)  # of the CPU alone: no other is put back
        left, _, right = torch.svd_lowrank(weight.cpu(), q=min(2 * r + 8, *weight.shape), niter=POWER_STEPS)
    return Side(right[:, :r], weight.norm(dim=0).cpu()), Side(left[:, :r], weight.norm(dim=1).cpu())


def of_chance(into: int, out: int, r: int) -> Directions:
    """R random directions of a layer into -> out; others at each call."""
    reads, writes = (torch.randn(size, r) for size in (into, out))
    return Side(torch.linalg.qr(reads).Q, reads[:, 0].abs()), Side(torch.linalg.qr(writes).Q, writes[:, 0].abs())


def wanted_by(branch: Branch) -> int:
    """Directions to be found for a branch: as many as the side needs that needs more."""
    return max(part.wanted for part in branch.bases)


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
