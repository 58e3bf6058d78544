"""Fixed directions in 1, 2, 4 or 8 bits a number.

    V = S (D (x) H)^T Q,   Q_ij = (q_ij - (2^b - 1) / 2) step / sqrt(n),   q_ij in 0 .. 2^b - 1

Columns of V are directions of length 1. S (D (x) H)^T is an orthogonal matrix (n, n): random signs, a Hadamard matrix H
and a cosine transform D. It spreads the few large entries of directions, so that one step serves all entries (as in
QuaRot, arXiv 2404.00456). n determines it, so none of it is saved.
"""

import math

import torch

STEPS = {1: 2.0, 2: 1.0, 4: 0.335, 8: 0.03}
"""Step in units of the standard deviation, by bits: about the best for normal numbers, with values of length 1."""

LARGEST_FACTOR = 64
"""Largest size of the cosine transform D."""


def padded(size: int) -> int:
    """Return n, the least multiple of the least power of two of which at most `LARGEST_FACTOR` cover the size."""
    block = _block(size)
    return block * math.ceil(size / block)


def packed_bytes(size: int, bits: int) -> int:
    """Return the bytes of one direction with `size` entries."""
    return math.ceil(padded(size) * bits / 8)


def pack(directions: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the codes of directions, (count, bytes) in uint8."""
    rows = directions.T.to(torch.float32)
    n = padded(rows.shape[1])
    spread = _spread(torch.nn.functional.pad(rows, (0, n - rows.shape[1])))
    middle = (2**bits - 1) / 2
    codes = (spread * (n**0.5 / STEPS[bits]) + middle).round().clamp(0, 2 * middle)
    if not codes.any():  # a buffer of zeros holds none yet; the opposite direction spans the same
        codes = 2 * middle - codes
    return pack_codes(codes.to(torch.uint8), bits)


def pack_codes(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Return whole numbers below 2^bits, (..., n) in uint8, as bytes (..., ceil(n bits / 8)), the first one lowest."""
    each = 8 // bits
    groups = torch.nn.functional.pad(codes, (0, -codes.shape[-1] % each)).unflatten(-1, (-1, each))
    return (groups << _shifts(bits, codes.device)).sum(-1, dtype=torch.uint8)


def unpack_codes(packed: torch.Tensor, bits: int, n: int) -> torch.Tensor:
    """Return the n whole numbers of each row of bytes, (..., n) in uint8."""
    codes = (packed.unsqueeze(-1) >> _shifts(bits, packed.device)) & (2**bits - 1)
    return codes.flatten(-2)[..., :n]


def unpack(packed: torch.Tensor, bits: int, size: int, dtype: torch.dtype) -> torch.Tensor:
    """Return Q^T, (..., count, n), the spread directions that packed ones stand for."""
    n = padded(size)
    values = unpack_codes(packed, bits, n).to(dtype)
    return (values - (2**bits - 1) / 2) * (STEPS[bits] / n**0.5)


def gathered(rows: torch.Tensor, size: int) -> torch.Tensor:
    """Return rows of Q^T times their orthogonal matrix, (..., size): the inverse of the spreading."""
    n = rows.shape[-1]
    block = _block(size)
    cosines = _cosines(n // block, rows)
    whole = _hadamard(cosines.mT @ rows.unflatten(-1, (-1, block))).flatten(-2)
    return (whole * _signs(n, rows))[..., :size]


def _spread(rows: torch.Tensor) -> torch.Tensor:
    n = rows.shape[-1]
    block = _block(n)
    return (_cosines(n // block, rows) @ _hadamard((rows * _signs(n, rows)).unflatten(-1, (-1, block)))).flatten(-2)


def _block(size: int) -> int:
    """Return the size of H."""
    return 2 ** max(0, math.ceil(math.log2(size / LARGEST_FACTOR)))


def _hadamard(rows: torch.Tensor) -> torch.Tensor:
    """Return rows (..., 2^k) times the symmetric Hadamard matrix of that size, by k sums and differences."""
    size = rows.shape[-1]
    for level in range(int(size).bit_length() - 1):  # in a trace a size is a tensor
        first, second = rows.unflatten(-1, (-1, 2, 2**level)).unbind(-2)
        rows = torch.stack((first + second, first - second), -2).flatten(-3)
    return rows * size**-0.5


def _cosines(m: int, like: torch.Tensor) -> torch.Tensor:
    """Return D, the orthogonal cosine transform of size m: D_ki = sqrt(2 / m) cos(pi k (2 i + 1) / (2 m)), k > 0."""
    place = torch.arange(m, device=like.device)
    # whole turns are taken off before the numbers become floating-point ones
    angles = (place[:, None] * (2 * place + 1)) % (4 * m)
    found = torch.cos(angles.to(like.dtype) * (math.pi / (2 * m))) * (2 / m) ** 0.5
    return torch.cat((found[:1] * 0.5**0.5, found[1:]))


def _signs(n: int, like: torch.Tensor) -> torch.Tensor:
    """Return n fixed random signs; PyTorch's generators may change between versions, and files must not."""
    mixed = torch.arange(n, device=like.device) * 0x9E3779B1 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 15) * 0x85EBCA77 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE3D & 0xFFFFFFFF
    return 1 - 2 * (mixed >> 31).to(like.dtype)


def _shifts(bits: int, device: torch.device) -> torch.Tensor:
    return torch.arange(0, 8, bits, dtype=torch.uint8, device=device)
