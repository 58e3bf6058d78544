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
def scaled_start(operator: MatrixProductOperator, variance: float, last: float | None = None) -> None:
    """Normal cores for which every entry of the contracted matrix has the given variance.

    An entry is a sum over prod_k B_k paths of products of n independent entries, so with cores of the standard
    deviations s_k it has the variance prod_k s_k^2 B_k. All s_k are equal, or all but a given last one.

    Args:
        operator: The operator; a single core has no other to make up for it, so there `last` is not used.
        variance: Variance of the entries of the contracted matrix.
        last: Standard deviation of the last core; none means that of the others.
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


@torch.no_grad()
def zero_last(operator: MatrixProductOperator) -> None:
    """The last core zero: the operator is exactly zero, and its last core alone has a gradient."""
    nn.init.zeros_(operator.cores[-1])
