"""The cores r -> r: E(core(c)) = (E M) f(c), with f(c) one of c, q(c), w(c) * c, or q(c) and c concatenated."""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

import torch
from torch import nn

from qweft.adapter.functions import ANGLE_BOUND, Function, make_function
from qweft.circuit import Circuit
from qweft.circuit.precision import exact_products
from qweft.method.names import Part, form_of, function_of
from qweft.method.resolved import ResolvedConfig

Measure = Callable[[Circuit, torch.Tensor, torch.Tensor], torch.Tensor]
SMALLEST = 1e-24
"""Added to the mean square of the gate's input, so that a zero input does not give NaN."""
Observe = Callable[[torch.Tensor], None]


class Core(nn.Module):
    """A map r -> r."""

    matrices: ClassVar[tuple[str, ...]] = ()  # K ("linear_weight") and Q ("quantum_weight"), as their features follow
    kernel_form = 0  # what the features are, as `few_kernel` numbers it
    reads_angles = False  # whether the input is used as angles, which need full precision
    circuit_features = 0  # leading features to which the circuit or its control contributes; others are entries of c
    input_scale = 1.0  # the rms of c that the scaled start is made for
    output_scale = 1.0  # the approximate rms of h at that start

    @staticmethod
    def part_of(name: str) -> Part:
        """Return the part of a parameter, given its name inside the core; a classical control counts as "circuit"."""
        return "linear" if name in ("linear_weight", "quantum_weight") else "circuit"

    def tensors(self) -> list[torch.Tensor]:
        """Return the parameters and buffers, or those of a replica of the module; the matrices come last."""
        return [getattr(self, name) for name in self.matrices]

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return what the function needs of such tensors: rotations and diagonals of a circuit. Leading axes stay."""
        return ()

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return E M, (..., out, features), for E (..., out, r)."""
        return expand

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """Return f(c), (..., r) to (..., features)."""
        return c

    def form(self) -> Hashable:
        """Return a key that two cores must share to be built in one batch."""
        return type(self).__name__

    def reset(self, start: str, zero: bool = False) -> None:
        """Initialise the parameters by the named start; `zero` makes K and Q zero, and so h."""

    def randomise(self) -> None:
        """Draw parameters that start at zero by design, for a branch that must not be zero."""


class IdentityCore(Core):
    """h = c."""


class LinearCore(Core):
    """h = K c."""

    matrices: ClassVar[tuple[str, ...]] = ("linear_weight",)

    def __init__(self, r: int):
        super().__init__()
        self.linear_weight = nn.Parameter(torch.zeros(r, r))

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return expand @ tensors[0]

    def reset(self, start: str, zero: bool = False) -> None:
        _reset_matrix(self.linear_weight, start, zero)


class FunctionCore(Core):
    """h = Q q(c), with the circuit q, or a control in its place, of the first entries of c, one for each qubit."""

    matrices: ClassVar[tuple[str, ...]] = ("quantum_weight",)
    kernel_form = 1
    reads_angles = True
    measured_by: Measure | None = None  # replaces the exact engine: the circuit, c (..., r) and angles to q(c)
    observed_by: Observe | None = None  # is called with q(c), (..., r), of every call

    def __init__(self, r: int, function: Function):
        super().__init__()
        function.make_ready()
        self.function = function
        self._names = *function.trained, *function.fixed
        for name, shape in function.trained.items():
            setattr(self, name, nn.Parameter(torch.zeros(shape)))
        for name, shape in function.fixed.items():
            self.register_buffer(name, torch.zeros(shape))
        for name in self.matrices:
            setattr(self, name, nn.Parameter(torch.zeros(r, function.r if name == "quantum_weight" else r)))
        self.input_scale = function.input_scale
        self.circuit_features = function.r

    @property
    def circuit(self) -> Circuit | None:
        """The circuit, or `None` if the function is not one."""
        return self.function.circuit

    def tensors(self) -> list[torch.Tensor]:
        return [getattr(self, name) for name in (*self._names, *self.matrices)]

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return self.function.prepare(tensors[: len(self._names)])

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        first, *others = tensors[len(self._names) :]
        return expand @ (torch.cat([first, *others], -1) if others else first)

    def form(self) -> Hashable:
        return type(self).__name__, self.function.form()

    @torch.no_grad()
    def reset(self, start: str, zero: bool = False) -> None:
        # the circuit's angles are drawn for every function, so that the random numbers after them are the same
        angles = torch.zeros(self.function.ansatz.parameters)
        bound = ANGLE_BOUND if start == "scaled" else math.pi
        nn.init.uniform_(angles, -bound, bound)
        if not angles.is_meta:  # on the meta device the tensors are assigned later
            for name, tensor in self.function.start(angles, start).items():
                getattr(self, name).copy_(tensor)
        self._reset_matrices(start, zero)

    def _reset_matrices(self, start: str, zero: bool) -> None:
        for name in self.matrices:  # by the scaled start K c is of order 1
            _reset_matrix(getattr(self, name), start, zero, 1 / self.input_scale if name == "linear_weight" else 1.0)

    def read(self, c: torch.Tensor) -> torch.Tensor:
        """Return what the function reads of c, (..., r) to (..., qubits)."""
        return c[..., : self.function.r]

    def function_values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """Return q(c), or t(c) of a classical control: (..., r) to (..., qubits) in c's dtype."""
        c = self.read(c)
        if self.measured_by is not None:
            assert self.circuit is not None
            values = self.measured_by(self.circuit, c, self.tensors()[0]).to(c.dtype)
        else:
            with exact_products(c.device):  # of a control, as of a circuit
                values = self.function.values(c, *prepared)
        if self.observed_by is not None:
            self.observed_by(values)
        return values

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        return self.function_values(c, *angles)


class LinearFunctionCore(FunctionCore):
    """h = Q q(c) + K c: the linear fusion of QTHA."""

    matrices: ClassVar[tuple[str, ...]] = ("quantum_weight", "linear_weight")
    kernel_form = 2

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.function_values(c, *angles), c], -1)


class WeightedFunctionCore(FunctionCore):
    """h = q(c) * c, element by element: the weighting of QWTHN. Entries that no qubit reads stay as they are."""

    matrices: ClassVar[tuple[str, ...]] = ()
    kernel_form = 3

    def __init__(self, r: int, function: Function):
        super().__init__(r, function)
        self.output_scale = self.input_scale

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return expand

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        own = self.function.r
        weighted = self.function_values(c, *angles) * c[..., :own]
        return weighted if own == c.shape[-1] else torch.cat([weighted, c[..., own:]], -1)


class GatedFunctionCore(FunctionCore):
    """h = (1 + Q q(t)) * c, element by element, with t = c_read / (sqrt(U) rms(c_read)) for each token.

    c_read are the entries of c that the function reads, U the number of uploads. Q starts at zero, so that h = c; with
    the scaled start it is I. The size of c differs by orders of magnitude between layers, that of t does not.
    """

    quantum_weight: nn.Parameter
    kernel_form = 4

    def __init__(self, r: int, function: Function):
        super().__init__(r, function)
        self.input_scale = 1.0
        self.circuit_features = r

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return expand

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return *super().angles_of(tensors), tensors[len(self._names)].clone()

    def _reset_matrices(self, start: str, zero: bool) -> None:
        _reset_matrix(self.quantum_weight, start, zero=start != "scaled")

    def randomise(self) -> None:
        nn.init.kaiming_uniform_(self.quantum_weight)

    def read(self, c: torch.Tensor) -> torch.Tensor:
        read = super().read(c)
        size = read.square().mean(-1, keepdim=True).add(SMALLEST).sqrt()
        return read / size * self.function.input_scale

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        *prepared, q = angles
        values = self.function_values(c, *prepared)
        return (1 + values @ q.to(values.dtype).mT) * c


FORM_CLASSES: dict[str, type[FunctionCore]] = {
    "": FunctionCore,
    "linear": LinearFunctionCore,
    "weighted": WeightedFunctionCore,
    "gated": GatedFunctionCore,
}


def make_core(at: ResolvedConfig) -> Core:
    """Return the core of a layer; its function reads the first `qubits` entries of c."""
    function = function_of(at.core)
    if function is None:
        return LinearCore(at.r) if at.core == "linear" else IdentityCore()
    return FORM_CLASSES[form_of(at.core)](at.r, make_function(function, at))


@torch.no_grad()
def _reset_matrix(weight: nn.Parameter, start: str, zero: bool, gain: float = 1.0) -> None:
    if zero:
        nn.init.zeros_(weight)
    elif start == "scaled":
        nn.init.eye_(weight).mul_(gain)
    else:
        nn.init.kaiming_uniform_(weight)
