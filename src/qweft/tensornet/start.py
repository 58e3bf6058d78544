"""How the cores of an operator start."""

import math

import torch
from torch import nn

from qweft.tensornet.mpo import MatrixProductOperator


@torch.no_grad()
def kaiming_start(operator: MatrixProductOperator) -> None:
    """Every core kaiming-normal, as on record: standard deviation sqrt(2 / (j_k i_k B_k)), PyTorch's fan-in."""
    for core in operator.cores:
        nn.init.kaiming_normal_(core)


@torch.no_grad()
def scaled_start(operator: MatrixProductOperator, variance: float) -> None:
    """Normal cores for which every entry of the contracted matrix has the given variance.

    An entry is a sum over prod_k B_k paths of products of n independent entries, so with cores of one standard
    deviation s it has the variance s^(2 n) prod_k B_k.
    """
    paths = math.prod(core.shape[-1] for core in operator.cores)
    deviation = (variance / paths) ** (1 / (2 * len(operator.cores)))
    for core in operator.cores:
        nn.init.normal_(core, std=deviation)


@torch.no_grad()
def zero_last(operator: MatrixProductOperator) -> None:
    """The last core zero: the operator is exactly zero, and its last core alone has a gradient."""
    nn.init.zeros_(operator.cores[-1])
