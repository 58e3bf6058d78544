"""Closeness counted in roundings, so that a tolerance follows the type and the size of the numbers."""

import torch

ANY_ORDER = 1e6
"""Roundings between two orders of the same sums, in float64: the models of these tests make up to 2e3 of one."""


def assert_close(found: torch.Tensor, wanted: torch.Tensor, roundings: float = ANY_ORDER) -> None:
    """Each number is within so many roundings of the largest one wanted.

    The order of sums, and with it the last digits, is the processor's choice. Compare in float64 where two ways are to
    give one result: there the default is a relative 2e-10, far below any mistake.
    """
    size = wanted.abs().max().item() if wanted.numel() else 0.0
    torch.testing.assert_close(found, wanted, rtol=0, atol=roundings * torch.finfo(wanted.dtype).eps * size)
