"""The cores, r -> r: what stands between compress and expand.

A core is a few features of c, made for every token, and a matrix that E takes up once a step:

    E(core(c)) = (E M) f(c),   f(c) one of c, q(c), q(c) * c, or q(c) and c one below the other
"""

import math
from collections.abc import Hashable, Sequence

import torch
from torch import nn

from qweft.circuit import Circuit, crz_ring_ansatz
from qweft.circuit.alternating import Alternating, alternating_form
from qweft.circuit.engine import expectations

Angles = tuple[torch.Tensor, torch.Tensor]
"""A circuit's rotations and diagonals, as `Alternating.angles` gives them."""


class Core(nn.Module):
    """A map r -> r; `reads_angles` tells that it takes its input as angles, which need full precision.

    `input_scale` is the rms of c for which the scaled start is made, `output_scale` about that of h then. The first
    `circuit_features` of the features are what a circuit makes of c; the others are c itself.
    """

    reads_angles = False
    circuit_features = 0
    input_scale = 1.0
    output_scale = 1.0

    def tensors(self) -> list[torch.Tensor]:
        """The parameters, or what stands in their place in a replica of the module."""
        return []

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The circuit's angles for such tensors, with any leading dimensions; nothing where there is no circuit."""
        return ()

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """E M, (..., out, features), from E (..., out, r)."""
        return expand

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """f(c), (..., r) to (..., features)."""
        return c

    def form(self) -> Hashable:
        """What two cores must agree in to be prepared together."""
        return type(self).__name__

    def reset(self, start: str) -> None:
        """Start the parameters by the named start."""


class IdentityCore(Core):
    """h = c."""


class LinearCore(Core):
    """h = K c."""

    def __init__(self, r: int):
        super().__init__()
        self.linear_weight = nn.Parameter(torch.zeros(r, r))

    def tensors(self) -> list[torch.Tensor]:
        """K."""
        return [self.linear_weight]

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """E K."""
        return expand @ tensors[0]

    def reset(self, start: str) -> None:
        """K kaiming-uniform, or the identity with the scaled start."""
        _reset_square(self.linear_weight, start)


ANGLE_BOUND = math.pi / 4
"""Largest angle of the scaled start."""


class _CircuitCore(Core):
    """A core with a circuit q: R^r -> R^r, its trained angles in one vector."""

    reads_angles = True

    def __init__(self, r: int, layers: int, reupload: bool):
        super().__init__()
        self.circuit: Circuit = crz_ring_ansatz(r, layers, reupload)
        form = alternating_form(self.circuit)
        assert form is not None  # every ansatz of this package is of that form
        self._form: Alternating = form
        self.angles = nn.Parameter(torch.zeros(self.circuit.parameters))
        self.input_scale = layers**-0.5 if reupload else 1.0
        self.circuit_features = r

    def tensors(self) -> list[torch.Tensor]:
        """The angles first."""
        return [self.angles]

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Rotations and diagonals, computed in float32 or better."""
        angles = tensors[0]
        return self._form.angles(angles if angles.dtype == torch.float64 else angles.float())

    def form(self) -> Hashable:
        """The circuit."""
        return type(self).__name__, self.circuit

    def reset(self, start: str) -> None:
        """Angles uniform in (-pi, pi), as on record; the scaled start has them in (-pi/4, pi/4).

        With angles that small q_i is about cos(L c_i + a phase) for L uploads: its spread stays near 0.5 for any number
        of qubits, where that of uniform angles falls to 0.1 (10 qubits, 10 layers), and with c of rms 1 / sqrt(L), the
        `input_scale`, a change of c by a tenth leaves it correlated by 0.95. At zero the CRZ gates have no gradient.
        """
        bound = ANGLE_BOUND if start == "scaled" else math.pi
        nn.init.uniform_(self.angles, -bound, bound)

    def expectations(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """q(c), (..., r), computed in float32 or better and given back in c's type."""
        return expectations(self._form, c, *angles).to(c.dtype)

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """q(c)."""
        return self.expectations(c, *angles)


class QuantumCore(_CircuitCore):
    """h = Q q(c)."""

    def __init__(self, r: int, layers: int, reupload: bool):
        super().__init__(r, layers, reupload)
        self.quantum_weight = nn.Parameter(torch.zeros(r, r))

    def tensors(self) -> list[torch.Tensor]:
        """Angles and Q."""
        return [self.angles, self.quantum_weight]

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """E Q."""
        return expand @ tensors[1]

    def reset(self, start: str) -> None:
        """Q kaiming-uniform, or the identity with the scaled start."""
        super().reset(start)
        _reset_square(self.quantum_weight, start)


class QuantumLinearCore(QuantumCore):
    """h = Q q(c) + K c: the linear fusion of QTHA."""

    def __init__(self, r: int, layers: int, reupload: bool):
        super().__init__(r, layers, reupload)
        self.linear_weight = nn.Parameter(torch.zeros(r, r))

    def tensors(self) -> list[torch.Tensor]:
        """Angles, Q and K."""
        return [self.angles, self.quantum_weight, self.linear_weight]

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """E Q and E K side by side, (..., out, 2 r)."""
        return expand @ torch.cat([tensors[1], tensors[2]], -1)

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """q(c) and c, (..., 2 r)."""
        return torch.cat([self.expectations(c, *angles), c], -1)

    def reset(self, start: str) -> None:
        """K as Q; with the scaled start K = identity / input_scale, so that K c is of order one."""
        super().reset(start)
        _reset_square(self.linear_weight, start, 1 / self.input_scale)


class QuantumWeightedCore(_CircuitCore):
    """h = q(c) * c, element by element: the weighting of QWTHN."""

    def __init__(self, r: int, layers: int, reupload: bool):
        super().__init__(r, layers, reupload)
        self.output_scale = self.input_scale

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """q(c) * c."""
        return self.expectations(c, *angles) * c


def make_core(name: str, r: int, layers: int, reupload: bool) -> Core:
    """The core of that name (a value of `QwthnConfig.core`)."""
    if name == "identity":
        return IdentityCore()
    if name == "linear":
        return LinearCore(r)
    kinds = {"quantum": QuantumCore, "quantum_linear": QuantumLinearCore, "quantum_weighted": QuantumWeightedCore}
    return kinds[name](r, layers, reupload)


@torch.no_grad()
def _reset_square(weight: nn.Parameter, start: str, gain: float = 1.0) -> None:
    if start == "scaled":
        nn.init.eye_(weight).mul_(gain)
    else:
        nn.init.kaiming_uniform_(weight)
