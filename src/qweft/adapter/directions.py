"""Directions of a layer for fixed maps: from the loss's gradient, from its weight, or random; and their search.

    G = d loss / d W0 = sum over tokens of dy x^T,   G = U S V^T,   C = (V_1 .. V_r)^T,   E = (U_1 .. U_r)

At K = 0 the gradient to K is alpha / r times the r x r block of G with the largest norm, as in LoRA-GA (arXiv
2407.05000) and LoRA-SB (arXiv 2411.19557). G of a large layer is never formed, but rebuilt from two products with
random matrices (the one-pass sketch of Tropp, Yurtsever, Udell and Cevher, arXiv 1609.00048).
Without `qweft.find_bases` the first backward pass finds them from its own dy; until then a branch adds nothing.
"""

import warnings
from functools import cache
from typing import Any

import torch

from qweft.adapter.branch import Branch
from qweft.adapter.maps import Directions, FixedMap, Side
from qweft.core.errors import QweftError
from qweft.internals.torch import is_replica, is_transformed

OVERSAMPLING = 4
"""Columns of Omega for each wanted direction; Psi has twice as many rows."""
SEED = 20250312
"""Seed of the random matrices, so that the same batches give the same directions whatever was drawn before."""
SPARE = 8
"""Directions beyond those wanted in the iteration that finds the leading ones of a matrix."""
POWER_STEPS = 8
"""Power iterations of the decomposition of W0, whose singular values decay slowly."""


class GradientSketch:
    """Y = G Omega (d_out, k) and Z = Psi G (2 k, d_in) of one layer, summed over tokens.

    Omega is (d_in, k) and Psi (2 k, d_out), both standard normal; k = min(4 r, d_in, d_out). For a layer with d_out
    d_in <= 2 k (d_out + 2 d_in) it sums G itself.
    """

    def __init__(self, into: int, out: int, r: int, device: torch.device):
        self.r = r
        k = min(OVERSAMPLING * r, into, out)
        self._whole: torch.Tensor | None = None
        if into * out <= 2 * (k * out + 2 * k * into):
            self._whole = torch.zeros(out, into, device=device, dtype=torch.float32)
            return
        self._omega, self._psi = drawn(into, out, k, device)
        self._y = torch.zeros(out, k, device=device, dtype=torch.float32)
        self._z = torch.zeros(2 * k, into, device=device, dtype=torch.float32)

    @torch.no_grad()
    def add(self, x: torch.Tensor, dy: torch.Tensor) -> None:
        """Add some tokens."""
        device = self.sums()[0].device
        x, dy = (rows.reshape(-1, rows.shape[-1]).to(device, torch.float32) for rows in (x, dy))
        if self._whole is not None:
            self._whole.addmm_(dy.T, x)
            return
        self._y += dy.T @ (x @ self._omega)
        self._z += (dy @ self._psi.T).T @ x

    def sums(self) -> list[torch.Tensor]:
        """Return the sums themselves; adding them up over processes gives those of all tokens."""
        return [self._y, self._z] if self._whole is None else [self._whole]

    def directions(self) -> Directions:
        """Return V (d_in, r) and U (d_out, r), leading singular directions of G, and norms of G's columns and rows."""
        if self._whole is not None:
            g = self._whole.cpu()
            is_tall = len(g) > g.shape[1]
            found = _leading(g.T if is_tall else g, self.r)
            into, out = found if is_tall else reversed(found)
            return Side(into, g.norm(dim=0)), Side(out, g.norm(dim=1))
        y, z, psi = (tensor.cpu() for tensor in (self._y, self._z, self._psi))
        frame = torch.linalg.qr(y).Q
        # least squares by normal equations: a random matrix with twice as many rows is well conditioned
        seen = psi @ frame
        inverse = torch.cholesky_solve(seen.T, torch.linalg.cholesky(seen.T @ seen))
        rest = inverse @ z  # (k, d_in), G = frame rest
        left, right = _leading(rest, self.r)
        # without G itself norms have a relative standard error of 1 / sqrt(4 k) for columns and 1 / sqrt(2 k) for rows
        return Side(right, z.norm(dim=0) / len(z) ** 0.5), Side(frame @ left, y.norm(dim=1) / y.shape[1] ** 0.5)

    @property
    def fault(self) -> str:
        """What is wrong with the gradient: "zero" or "not a number"; empty if it has directions."""
        total = self.sums()[0]
        if not bool(torch.isfinite(total).all()):
            return "not a number"
        return "" if bool(total.any()) else "zero"


@cache
def drawn(into: int, out: int, k: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Omega (d_in, k) and Psi (2 k, d_out), kept for layers of one size until `drawn.cache_clear()`."""
    generator = torch.Generator().manual_seed(SEED)
    omega = torch.randn(into, k, generator=generator, dtype=torch.float32)
    return omega.to(device), torch.randn(2 * k, out, generator=generator, dtype=torch.float32).to(device)


def _leading(matrix: torch.Tensor, r: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the leading r left and right singular vectors of a matrix that is no taller than wide."""
    # Eigenvectors of M M^T in float64 (arbitrary below 1e-8 of the largest); of many rows in a random subspace of r + 8
    # after one power iteration (Halko, Martinsson and Tropp, arXiv 0909.4061).
    frame = None
    if len(matrix) > 2 * (r + SPARE):
        generator = torch.Generator().manual_seed(SEED)
        start = torch.randn(matrix.shape[1], r + SPARE, generator=generator, dtype=torch.float32)
        frame = torch.linalg.qr(matrix @ (matrix.T @ torch.linalg.qr(matrix @ start.to(matrix)).Q)).Q
        matrix = frame.T @ matrix
    wide = matrix.double()
    left = torch.linalg.eigh(wide @ wide.T).eigenvectors.flip(1)[:, :r].to(matrix.dtype)
    right, factor = torch.linalg.qr(matrix.T @ left)
    left = left if frame is None else frame @ left
    signs = left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
    # QR leaves the sign of each column open
    return left * signs, right * signs * torch.where(factor.diagonal() < 0, -1.0, 1.0).to(right.dtype)


@torch.no_grad()
def of_weight(weight: torch.Tensor, r: int) -> Directions:
    """Return the leading r singular directions of W0 (d_out, d_in), as LoRA-XS (arXiv 2405.17604), and its norms."""
    weight = weight.detach().float()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)  # the CPU's generator only: the fork restores no other
        left, _, right = torch.svd_lowrank(weight.cpu(), q=min(2 * r + 8, *weight.shape), niter=POWER_STEPS)
    return Side(right[:, :r], weight.norm(dim=0).cpu()), Side(left[:, :r], weight.norm(dim=1).cpu())


def of_chance(into: int, out: int, r: int) -> Directions:
    """Return r random orthonormal directions of a layer into -> out and random norms, different at each call."""
    reads, writes = (torch.randn(size, r, dtype=torch.float32) for size in (into, out))
    return Side(torch.linalg.qr(reads).Q, reads[:, 0].abs()), Side(torch.linalg.qr(writes).Q, writes[:, 0].abs())


def wanted_by(branch: Branch) -> int:
    """Return the number of directions to find for a branch: the larger of what its two sides need."""
    return max(part.wanted for part in branch.bases)


def give(branch: Branch, directions: Directions) -> None:
    """Set these directions in the branch's fixed maps; all processes take those of the first."""
    for part, found in zip((branch.compress, branch.expand), directions, strict=True):
        if isinstance(part, FixedMap):
            part.set(found)
            if is_distributed():
                torch.distributed.broadcast(part.weight, 0)


def is_distributed() -> bool:
    """Whether several processes train the same adapter."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def search(layer: Any, adapter_name: str, result: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the layer's output unchanged; its gradient gives a trained branch its directions at the next call."""
    branch = layer.branch_of(adapter_name)
    is_followed = torch.compiler.is_compiling() or is_transformed() or is_replica(branch.compress)
    if is_followed or branch.bases[0].kind != "gradient":
        raise QweftError(
            "the directions of this adapter's basis have not been found, so it cannot be trained here, compiled, "
            "transformed, in a replica, or by a call of one layer: call qweft.find_bases(model, batches) after "
            "get_peft_model, with some batches of what it is to learn"
        )
    # the base layer may have no graph; and a NaN of the gradient reaches the parameters, so a scaler skips the step
    nothing = sum(tensor.sum() for tensor in branch.tensors() if tensor.requires_grad) * 0
    result = result + torch.as_tensor(nothing).to(result)
    x = x.detach()
    result.register_hook(lambda dy: _find(layer, adapter_name, x, dy))
    return result


@torch.no_grad()
def _find(layer: Any, adapter_name: str, x: torch.Tensor, dy: torch.Tensor) -> None:
    """Find the branch's directions, unless the gradient is zero or contains NaN or infinity."""
    branch = layer.branch_of(adapter_name)
    if branch.is_found or adapter_name in layer.qwthn_found:
        return
    sketch = GradientSketch(x.shape[-1], dy.shape[-1], wanted_by(branch), branch.bases[0].weight.device)
    drawn.cache_clear()
    sketch.add(x, dy)
    # several processes sum their gradients, so that all get the same directions
    for total in sketch.sums() if is_distributed() else ():
        torch.distributed.all_reduce(total)
    if sketch.fault:
        return
    layer.qwthn_found[adapter_name] = sketch.directions()
    warnings.warn(
        f"the directions of the bases of adapter {adapter_name!r} are those of its first batch alone; "
        "qweft.find_bases(model, batches) after get_peft_model finds them on more rows",
        stacklevel=2,
    )
