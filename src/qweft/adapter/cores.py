"""The cores, r -> r: what stands between compress and expand.

A core is a few features of c, made for every token, and a matrix that E takes up once a step:

    E(core(c)) = (E M) f(c),   f(c) one of c, q(c), w(c) * c, or q(c) and c one below the other
"""

import math
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import nn

from qweft.adapter.functions import CIRCUITS, FUNCTIONS, Function, make_function
from qweft.adapter.functions.base import ANGLE_BOUND
from qweft.circuit import Circuit

Measure = Callable[[Circuit, torch.Tensor, torch.Tensor], torch.Tensor]
SMALLEST = 1e-24
"""Added to the mean square of what a gate reads: it keeps the direction of zero from being none."""
Observe = Callable[[torch.Tensor], None]

FORMS = {
    "": "h = Q {f}(c)",
    "linear": "h = Q {f}(c) + K c",
    "weighted": "h = {f}(c) * c",
    "gated": "h = (1 + Q {f}(c / |c|)) * c",
}
"""How a function f enters, with the formula; |c| is the rms of what it reads, times sqrt(U) of its uploads."""
WITHOUT_FUNCTION = {"identity": "h = c", "linear": "h = K c"}


def _name(function: str, form: str) -> str:
    return f"{function}_{form}" if form else function


CORES = (*WITHOUT_FUNCTION, *(_name(function, form) for function in FUNCTIONS for form in FORMS))
"""The names of the cores: "quantum_linear" is the function "quantum" in the form "linear", h = Q q(c) + K c."""


def function_of(core: str) -> str | None:
    """The function in a core: "quantum_linear" has "quantum"; `None` in "identity" and "linear"."""
    return None if core in WITHOUT_FUNCTION else core.partition("_")[0]


def form_of(core: str) -> str:
    """How the function enters: "", "linear", "weighted" or "gated"; for "identity" and "linear" their own names."""
    return core if core in WITHOUT_FUNCTION else core.partition("_")[2]


def has_circuit(core: str) -> bool:
    """Whether the core holds a circuit, trained or not."""
    return function_of(core) in CIRCUITS


def formula(core: str) -> str:
    """The core as a formula, with q for the circuit and t for what stands in its place."""
    if core in WITHOUT_FUNCTION:
        return WITHOUT_FUNCTION[core]
    return FORMS[form_of(core)].format(f="q" if function_of(core) == "quantum" else "t")


class Core(nn.Module):
    """A map r -> r; `reads_angles` tells that it takes its input as angles, which need full precision.

    `input_scale` is the rms of c for which the scaled start is made, `output_scale` about that of h then. The first
    `circuit_features` of the features are what a circuit, or a twin in its place, makes of c; the others are c itself.
    """

    reads_angles = False
    circuit_features = 0
    input_scale = 1.0
    output_scale = 1.0

    def tensors(self) -> list[torch.Tensor]:
        """The parameters, or what stands in their place in a replica of the module."""
        return []

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The circuit's angles (or what a twin has for them) from such tensors, with any leading dimensions."""
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

    def reset(self, start: str, zero: bool = False) -> None:
        """Start the parameters by the named start; with `zero` K and Q are zero, and so is h."""

    def randomise(self) -> None:
        """Let what starts at zero by itself be random, where nothing is to start at zero."""


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

    def reset(self, start: str, zero: bool = False) -> None:
        """K kaiming-uniform, or the identity with the scaled start, or zero."""
        _reset_matrix(self.linear_weight, start, zero)


class FunctionCore(Core):
    """h = Q q(c), with the circuit q or a twin in its place.

    The function reads the first entries of c, as many as it has qubits. The core holds the function's tensors under the
    function's own names.
    """

    reads_angles = True
    measured_by: Measure | None = None
    """Stands in the place of the exact engine while it is set: circuit, c (..., r) and the trained angles to q(c)."""
    observed_by: Observe | None = None
    """Is told q(c), (..., r), of every call while it is set, and changes nothing."""

    def __init__(self, r: int, function: Function):
        super().__init__()
        function.make_ready()
        self.function = function
        for name, shape in function.trained.items():
            setattr(self, name, nn.Parameter(torch.zeros(shape)))
        for name, shape in function.fixed.items():
            self.register_buffer(name, torch.zeros(shape))
        self.input_scale = function.input_scale
        self.circuit_features = function.r
        self._add_matrices(r)

    def _add_matrices(self, r: int) -> None:
        self.quantum_weight = nn.Parameter(torch.zeros(r, self.function.r))

    @property
    def circuit(self) -> Circuit | None:
        """The circuit, where the function is one."""
        return self.function.circuit

    def _function_tensors(self) -> list[torch.Tensor]:
        return [getattr(self, name) for name in (*self.function.trained, *self.function.fixed)]

    def tensors(self) -> list[torch.Tensor]:
        """The function's, and Q."""
        return [*self._function_tensors(), self.quantum_weight]

    def _matrices(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return tensors[len(self.function.trained) + len(self.function.fixed) :]

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What the function needs of its tensors: of a circuit, rotations and diagonals."""
        return self.function.prepare(tensors[: len(self.function.trained) + len(self.function.fixed)])

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """E Q."""
        return expand @ self._matrices(tensors)[0]

    def form(self) -> Hashable:
        """The function's, and how it enters."""
        return type(self).__name__, self.function.form()

    @torch.no_grad()
    def reset(self, start: str, zero: bool = False) -> None:
        """The circuit's angles are drawn whatever the function is, so that all that is drawn after them is equal."""
        angles = self.function.draw()
        bound = ANGLE_BOUND if start == "scaled" else math.pi
        nn.init.uniform_(angles, -bound, bound)
        if not angles.is_meta:  # a model without memory is given its tensors later
            for name, tensor in self.function.start(angles, start).items():
                getattr(self, name).copy_(tensor)
        self._reset_matrices(start, zero)

    def _reset_matrices(self, start: str, zero: bool) -> None:
        """Q kaiming-uniform, or the identity with the scaled start, or zero."""
        _reset_matrix(self.quantum_weight, start, zero)

    def function_values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """q(c), or the twin's t(c): (..., r) to (..., qubits) in c's type."""
        c = c[..., : self.function.r]
        if self.measured_by is not None:
            assert self.circuit is not None
            values = self.measured_by(self.circuit, c, self._function_tensors()[0]).to(c.dtype)
        else:
            values = self.function.values(c, *prepared)
        if self.observed_by is not None:
            self.observed_by(values)
        return values

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """q(c)."""
        return self.function_values(c, *angles)


class LinearFunctionCore(FunctionCore):
    """h = Q q(c) + K c: the linear fusion of QTHA."""

    def _add_matrices(self, r: int) -> None:
        super()._add_matrices(r)
        self.linear_weight = nn.Parameter(torch.zeros(r, r))

    def tensors(self) -> list[torch.Tensor]:
        """The function's, Q and K."""
        return [*super().tensors(), self.linear_weight]

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """E Q and E K side by side, (..., out, qubits + r)."""
        return expand @ torch.cat(list(self._matrices(tensors)), -1)

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """q(c) and c, (..., qubits + r)."""
        return torch.cat([self.function_values(c, *angles), c], -1)

    def _reset_matrices(self, start: str, zero: bool) -> None:
        """K as Q; with the scaled start K = identity / input_scale, so that K c is of order one."""
        super()._reset_matrices(start, zero)
        _reset_matrix(self.linear_weight, start, zero, 1 / self.input_scale)


class WeightedFunctionCore(FunctionCore):
    """h = q(c) * c, element by element: the weighting of QWTHN; entries that no qubit reads stay as they are."""

    def __init__(self, r: int, function: Function):
        super().__init__(r, function)
        self.output_scale = self.input_scale

    def _add_matrices(self, r: int) -> None:
        """No Q, no K."""

    def tensors(self) -> list[torch.Tensor]:
        """The function's."""
        return self._function_tensors()

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """E."""
        return expand

    def _reset_matrices(self, start: str, zero: bool) -> None:
        """There is none."""

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """q(c) * c."""
        own = self.function.r
        weighted = self.function_values(c, *angles) * c[..., :own]
        return weighted if own == c.shape[-1] else torch.cat([weighted, c[..., own:]], -1)


class GatedFunctionCore(FunctionCore):
    """h = (1 + Q q(t)) * c, element by element: Q starts at zero, so the core starts as h = c and learns where to bend.

    t is what the function reads of c, over sqrt(U) times the rms of these entries, token by token: how large c is
    differs from layer to layer by orders of magnitude, and an angle must not.
    """

    def __init__(self, r: int, function: Function):
        super().__init__(r, function)
        self.input_scale = 1.0
        self.circuit_features = r

    def combine(self, expand: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """E."""
        return expand

    def angles_of(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What the function needs of its tensors, and Q, which every token needs here."""
        return *super().angles_of(tensors), self._matrices(tensors)[0].clone()

    def _reset_matrices(self, start: str, zero: bool) -> None:
        """Q zero, whatever the start."""
        nn.init.zeros_(self.quantum_weight)

    def randomise(self) -> None:
        """Q kaiming-uniform."""
        nn.init.kaiming_uniform_(self.quantum_weight)

    def factors(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """1 + Q q(t)."""
        *prepared, q = angles
        read = c[..., : self.function.r]
        size = read.square().mean(-1, keepdim=True).add(SMALLEST).sqrt()
        values = self.function_values(read / size * self.function.input_scale, *prepared)
        return 1 + values @ q.to(values.dtype).mT

    def features(self, c: torch.Tensor, *angles: torch.Tensor) -> torch.Tensor:
        """(1 + Q q(t)) * c."""
        return self.factors(c, *angles) * c


FORM_CLASSES: dict[str, type[FunctionCore]] = {
    "": FunctionCore,
    "linear": LinearFunctionCore,
    "weighted": WeightedFunctionCore,
    "gated": GatedFunctionCore,
}


def make_core(name: str, r: int, layers: int, reupload: bool, fourier_terms: int | None = None, *, qubits: int) -> Core:
    """The core of that name (a value of `QwthnConfig.core`); its function reads the first `qubits` entries of c."""
    function = function_of(name)
    if function is None:
        return LinearCore(r) if name == "linear" else IdentityCore()
    return FORM_CLASSES[form_of(name)](r, make_function(function, qubits, layers, reupload, fourier_terms))


def count_matrices(name: str, r: int, qubits: int) -> int:
    """Trained parameters of the core's matrices: r^2 for K, and r qubits for Q."""
    form = form_of(name)
    has_q = function_of(name) is not None and form != "weighted"
    return r * r * (form == "linear") + r * qubits * has_q


@torch.no_grad()
def _reset_matrix(weight: nn.Parameter, start: str, zero: bool, gain: float = 1.0) -> None:
    if zero:
        nn.init.zeros_(weight)
    elif start == "scaled":
        nn.init.eye_(weight).mul_(gain)
    else:
        nn.init.kaiming_uniform_(weight)
