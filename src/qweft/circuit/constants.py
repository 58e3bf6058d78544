"""Constant matrices of a circuit, copied once to each type and device that asks for them."""

from functools import lru_cache

import torch


class _Key:
    """Hashes a constant matrix by identity, and keeps it alive."""

    def __init__(self, matrix: torch.Tensor):
        self.matrix = matrix

    def __hash__(self) -> int:
        return id(self.matrix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.matrix is self.matrix


@lru_cache(maxsize=256)
def _moved(key: _Key, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # an inference tensor could not be saved for a backward pass
        return key.matrix.to(device=device, dtype=dtype)


def constant(matrix: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The matrix in the type and on the device of `like`, copied there once."""
    if torch.compiler.is_compiling():  # which keeps constants by itself, and does not look into caches
        return matrix.to(device=like.device, dtype=like.dtype)
    return _moved(_Key(matrix), like.dtype, like.device)
