"""The cores, r -> r: what stands between compress and expand."""

import math

import torch
from torch import nn
from torch.nn.functional import linear

from qweft.circuit import Circuit, crz_ring_ansatz, expectation_values


class Core(nn.Module):
    """A map r -> r; `reads_angles` tells that it takes its input as angles, which need full precision."""

    reads_angles = False

    def reset(self, start: str) -> None:
        """Start the parameters by the named start."""


class IdentityCore(Core):
    """h = c."""

    def forward(self, c: torch.Tensor) -> torch.Tensor:
        """(..., r) to (..., r)."""
        return c


class LinearCore(Core):
    """h = K c."""

    def __init__(self, r: int):
        super().__init__()
        self.linear_weight = nn.Parameter(torch.zeros(r, r))

    def reset(self, start: str) -> None:
        """K kaiming-uniform, or the identity with the scaled start."""
        _reset_square(self.linear_weight, start)

    def forward(self, c: torch.Tensor) -> torch.Tensor:
        """(..., r) to (..., r)."""
        return linear(c, self.linear_weight)


class _CircuitCore(Core):
    """A core with a circuit q: R^r -> R^r, its trained angles in one vector."""

    reads_angles = True

    def __init__(self, r: int, layers: int, reupload: bool):
        super().__init__()
        self.circuit: Circuit = crz_ring_ansatz(r, layers, reupload)
        self.angles = nn.Parameter(torch.zeros(self.circuit.parameters))

    def reset(self, start: str) -> None:
        """Angles uniform in (-pi, pi), as on record."""
        nn.init.uniform_(self.angles, -math.pi, math.pi)

    def expectations(self, c: torch.Tensor) -> torch.Tensor:
        """q(c), (..., r), computed in float32 or better and given back in c's type."""
        return expectation_values(self.circuit, c, self.angles).to(c.dtype)


class QuantumCore(_CircuitCore):
    """h = Q q(c)."""

    def __init__(self, r: int, layers: int, reupload: bool):
        super().__init__(r, layers, reupload)
        self.quantum_weight = nn.Parameter(torch.zeros(r, r))

    def reset(self, start: str) -> None:
        """Q kaiming-uniform, or the identity with the scaled start."""
        super().reset(start)
        _reset_square(self.quantum_weight, start)

    def forward(self, c: torch.Tensor) -> torch.Tensor:
        """(..., r) to (..., r)."""
        return linear(self.expectations(c), self.quantum_weight)


class QuantumLinearCore(QuantumCore):
    """h = Q q(c) + K c: the linear fusion of QTHA."""

    def __init__(self, r: int, layers: int, reupload: bool):
        super().__init__(r, layers, reupload)
        self.linear_weight = nn.Parameter(torch.zeros(r, r))

    def reset(self, start: str) -> None:
        """K as Q."""
        super().reset(start)
        _reset_square(self.linear_weight, start)

    def forward(self, c: torch.Tensor) -> torch.Tensor:
        """(..., r) to (..., r)."""
        return super().forward(c) + linear(c, self.linear_weight)


class QuantumWeightedCore(_CircuitCore):
    """h = q(c) * c, element by element: the weighting of QWTHN."""

    def forward(self, c: torch.Tensor) -> torch.Tensor:
        """(..., r) to (..., r)."""
        return self.expectations(c) * c


def make_core(name: str, r: int, layers: int, reupload: bool) -> Core:
    """The core of that name (a value of `QwthnConfig.core`)."""
    if name == "identity":
        return IdentityCore()
    if name == "linear":
        return LinearCore(r)
    kinds = {"quantum": QuantumCore, "quantum_linear": QuantumLinearCore, "quantum_weighted": QuantumWeightedCore}
    return kinds[name](r, layers, reupload)


@torch.no_grad()
def _reset_square(weight: nn.Parameter, start: str) -> None:
    if start == "scaled":
        nn.init.eye_(weight)
    else:
        nn.init.kaiming_uniform_(weight)
