"""The matrix product operator: its cores, their initialisation, and its product with a dense matrix."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from qweft.tensornet.modes import Modes


def core_shapes(out_modes: Sequence[int], in_modes: Sequence[int], bond: int) -> list[tuple[int, int, int, int]]:
    """Return the shapes (B_{k-1}, j_k, i_k, B_k) of the cores: B_0 = B_n = 1, and all other bonds are `bond`.

    Raises:
        ValueError: If the two sides have different numbers of modes, or the bond is below 1.
    """
    if len(out_modes) != len(in_modes) or bond < 1:
        raise ValueError(
            f"an operator needs as many output modes as input modes and a bond dimension of at least 1, "
            f"got {list(out_modes)}, {list(in_modes)} and {bond}"
        )
    bonds = [1, *[bond] * (len(out_modes) - 1), 1]
    return list(zip(bonds, out_modes, in_modes, bonds[1:], strict=False))


def left_multiply(matrix: torch.Tensor, cores: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return M W for a dense M and the operator W of the cores, without forming W.

        W[j1..jn, i1..in] = sum over bonds of prod_k  w_k[b_{k-1}, j_k, i_k, b_k]

    Each core in turn contracts its output mode in M's columns and puts its input mode there, so r rows cost r
    applications of the network. Neighbouring cores are contracted to one beforehand: half as many passes over M, and
    about half the multiplications at usual sizes. Leading dimensions contract several operators of one shape together.

    Args:
        matrix: M, (..., rows, prod j).
        cores: w_k, each (..., B_{k-1}, j_k, i_k, B_k).

    Returns:
        (..., rows, prod i).
    """
    batch, rows = matrix.shape[:-2], matrix.shape[-2]
    done = 1  # product of the input modes that are already there
    state = matrix
    for core in _paired(cores):
        left, out_mode, in_mode, right = core.shape[-4:]
        # (rows, done, bond, j_k, later j) to (rows x done x later, bond x j_k)
        state = state.reshape(*batch, rows, done, left * out_mode, -1)
        later = state.shape[-1]
        moved = state.transpose(-1, -2).reshape(*batch, rows * done * later, left * out_mode)
        product = moved @ core.reshape(*batch, left * out_mode, in_mode * right)
        # (rows, done, later, i_k, bond) to (rows, done x i_k, bond, later)
        product = product.view(*batch, rows, done, later, in_mode, right)
        state = product.movedim(-3, -1)
        done *= in_mode
    return state.reshape(*batch, rows, done)


def _paired(cores: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the cores with each two neighbours as one: modes j_k j_{k+1} and i_k i_{k+1}, the later one fastest."""
    found = []
    for one, other in zip(cores[::2], cores[1::2], strict=False):
        (left, j, i, _), (bond, next_j, next_i, right) = one.shape[-4:], other.shape[-4:]
        batch = one.shape[:-4]
        both = one.reshape(*batch, left * j * i, bond) @ other.reshape(*batch, bond, next_j * next_i * right)
        both = both.view(*batch, left, j, i, next_j, next_i, right).transpose(-4, -3)
        found.append(both.reshape(*batch, left, j * next_j, i * next_i, right))
    return [*found, *cores[2 * len(found) :]]


def right_multiply(cores: Sequence[torch.Tensor], matrix: torch.Tensor) -> torch.Tensor:
    """Return W M (..., prod j, columns) of M (..., prod i, columns): `left_multiply` transposed, modes exchanged."""
    return left_multiply(matrix.mT, [core.transpose(-3, -2) for core in cores]).mT


class Cores(nn.Module):
    """The cores, named "0", "1" and so on; `nn.DataParallel` leaves an `nn.ParameterList` empty in its replicas."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]):
        super().__init__()
        self.count = len(shapes)
        for position, shape in enumerate(shapes):
            self.register_parameter(str(position), nn.Parameter(torch.zeros(shape)))

    def __getitem__(self, position: int) -> torch.Tensor:
        core: torch.Tensor = getattr(self, str(range(self.count)[position]))
        return core

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self[position] for position in range(self.count))


class MatrixProductOperator(nn.Module):
    """A matrix (out x in) as a chain of cores, with padding if a size has no useful factors.

    Args:
        out: Modes of the output size.
        into: Modes of the input size.
        bond: Bond dimension.

    Raises:
        ValueError: If the two sides have different numbers of modes, or the bond is below 1.

    Source: docs/method.md, The operator (arXiv 2503.12790 names it; open boundaries are on record in later code).
    """

    def __init__(self, out: Modes, into: Modes, bond: int):
        super().__init__()
        self.out, self.into = out, into
        self.cores = Cores(core_shapes(out.modes, into.modes, bond))

    def left_multiply(self, matrix: torch.Tensor, cores: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Return M W, (..., rows, out) to (..., rows, in); `cores` replaces the operator's own by others."""
        padded = nn.functional.pad(matrix, (0, self.out.padding))
        return left_multiply(padded, cores or list(self.cores))[..., : self.into.size]

    def right_multiply(self, matrix: torch.Tensor, cores: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Return W M, (..., in, columns) to (..., out, columns); `cores` replaces the operator's own by others."""
        padded = nn.functional.pad(matrix, (0, 0, 0, self.into.padding))
        return right_multiply(cores or list(self.cores), padded)[..., : self.out.size, :]


def recorded_start(operator: MatrixProductOperator) -> None:
    """Draw core k with standard deviation sqrt(2 / (B_{k-1} i_k)), as on record.

    The public layer holds core k as a matrix (j_k B_k, B_{k-1} i_k) and calls `kaiming_normal_` on that matrix.
    """
    for core in operator.cores:
        left, _, i, _ = core.shape
        nn.init.normal_(core, std=math.sqrt(2 / (left * i)))


def small_start(operator: MatrixProductOperator) -> None:
    """Draw core k with standard deviation sqrt(2 / (j_k i_k B_k)): Qweft's start until December 2026.

    That is `kaiming_normal_` of the core as a tensor of four axes, smaller than the record by sqrt(j_k B_k / B_{k-1}).
    """
    for core in operator.cores:
        nn.init.kaiming_normal_(core)


def scaled_start(operator: MatrixProductOperator, variance: float, last: float | None = None) -> None:
    """Draw normal cores such that every entry of the contracted matrix has the given variance.

    An entry is a sum over prod_k B_k paths of products of n independent entries. With standard deviations s_k of the
    cores its variance is therefore prod_k s_k^2 B_k. All s_k are equal, except for a given last one.

    Args:
        operator: The operator. With a single core `last` is ignored, since no other core could compensate.
        variance: Variance of the entries of the contracted matrix.
        last: Standard deviation of the last core. `None` means that of the others.
    """
    cores = list(operator.cores)
    paths = math.prod(core.shape[-1] for core in cores)
    if last is None or len(cores) == 1:
        deviations = [(variance / paths) ** (1 / (2 * len(cores)))] * len(cores)
    else:
        others = (variance / (paths * last**2)) ** (1 / (2 * (len(cores) - 1)))
        deviations = [others] * (len(cores) - 1) + [last]
    for core, deviation in zip(cores, deviations, strict=True):
        nn.init.normal_(core, std=deviation)
