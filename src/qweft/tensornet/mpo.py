"""The matrix product operator and its contraction with a dense matrix."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from qweft.tensornet.modes import Modes


def core_shapes(out_modes: Sequence[int], in_modes: Sequence[int], bond: int) -> list[tuple[int, int, int, int]]:
    """Shapes (B_{k-1}, j_k, i_k, B_k) of the cores, with open boundaries B_0 = B_n = 1 and all other bonds `bond`.

    Raises:
        ValueError: If the two sides have different numbers of modes, or the bond is below 1.
    """
    if len(out_modes) != len(in_modes) or bond < 1:
        raise ValueError(
            f"an operator needs as many output modes as input modes and a bond dimension of at least 1, "
            f"got {list(out_modes)}, {list(in_modes)} and {bond}"
        )
    bonds = [1, *[bond] * (len(out_modes) - 1), 1]
    return [
        (left, out_mode, in_mode, right)
        for left, out_mode, in_mode, right in zip(bonds, out_modes, in_modes, bonds[1:], strict=False)
    ]


def parameter_count(out_modes: Sequence[int], in_modes: Sequence[int], bond: int) -> int:
    """sum_k B_{k-1} j_k i_k B_k."""
    return sum(math.prod(shape) for shape in core_shapes(out_modes, in_modes, bond))


def left_multiply(matrix: torch.Tensor, cores: Sequence[torch.Tensor]) -> torch.Tensor:
    """M W for a dense M and the operator W that the cores stand for, without ever forming W.

        W[j1..jn, i1..in] = sum over bonds of prod_k  w_k[b_{k-1}, j_k, i_k, b_k]

    One core after the other takes its output mode out of M's columns and puts its input mode there, so that r rows
    cost r applications of the network.

    Args:
        matrix: M, (rows, prod j).
        cores: w_k, each (B_{k-1}, j_k, i_k, B_k).

    Returns:
        (rows, prod i).
    """
    rows = matrix.shape[0]
    done = 1  # product of the input modes that are already there
    # (rows, done, bond, j_k, later j)
    state = matrix.reshape(rows, 1, 1, cores[0].shape[1], -1)
    for position, core in enumerate(cores):
        left, out_mode, in_mode, right = core.shape
        state = state.reshape(rows, done, left, out_mode, -1)
        later = state.shape[-1]
        moved = state.permute(0, 1, 4, 2, 3).reshape(rows * done * later, left * out_mode)
        product = moved @ core.reshape(left * out_mode, in_mode * right)
        state = product.view(rows, done, later, in_mode, right).permute(0, 1, 3, 4, 2)
        done *= in_mode
        if position + 1 < len(cores):
            state = state.reshape(rows, done, right, later)
    return state.reshape(rows, done)


def right_multiply(cores: Sequence[torch.Tensor], matrix: torch.Tensor) -> torch.Tensor:
    """W M for the operator W that the cores stand for: the transpose of `left_multiply` with the modes exchanged.

    Args:
        cores: w_k, each (B_{k-1}, j_k, i_k, B_k).
        matrix: M, (prod i, columns).

    Returns:
        (prod j, columns).
    """
    return left_multiply(matrix.t(), [core.transpose(1, 2) for core in cores]).t()


class MatrixProductOperator(nn.Module):
    """A matrix (out x in) as a chain of cores, with padding where a size has no useful factors.

    Args:
        out: Modes of the output size.
        into: Modes of the input size.
        bond: Bond dimension.

    Source: METHOD.md section 2 (arXiv 2503.12790 names the operator; open boundaries are on record in later code).
    """

    def __init__(self, out: Modes, into: Modes, bond: int):
        super().__init__()
        self.out, self.into, self.bond = out, into, bond
        shapes = core_shapes(out.modes, into.modes, bond)
        self.cores = nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in shapes])

    def left_multiply(self, matrix: torch.Tensor) -> torch.Tensor:
        """M W, (rows, out) to (rows, in)."""
        padded = nn.functional.pad(matrix, (0, self.out.padding))
        return left_multiply(padded, list(self.cores))[:, : self.into.size]

    def right_multiply(self, matrix: torch.Tensor) -> torch.Tensor:
        """W M, (in, columns) to (out, columns)."""
        padded = nn.functional.pad(matrix, (0, 0, 0, self.into.padding))
        return right_multiply(list(self.cores), padded)[: self.out.size]

    def dense(self) -> torch.Tensor:
        """The matrix itself, (out, in)."""
        identity = torch.eye(self.out.size, dtype=self.cores[0].dtype, device=self.cores[0].device)
        return self.left_multiply(identity)

    def extra_repr(self) -> str:
        """Sizes with their modes, and the bond."""
        return f"out: {self.out}, in: {self.into}, bond={self.bond}"
