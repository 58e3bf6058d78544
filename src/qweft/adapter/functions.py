"""Functions of c in a core, R^r -> R^r: the circuit, and the classical controls ("twins") that replace it."""

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import silu

from qweft.circuit import Circuit, unentangled
from qweft.circuit.alternating import Alternating, alternating_form
from qweft.circuit.engine import expectation_values, expectations
from qweft.method.resolved import ResolvedConfig

Shapes = Mapping[str, tuple[int, ...]]
ANGLE_BOUND = math.pi / 4
"""Largest absolute angle of the scaled start, in radians."""
SILU_GAIN = 1.68
"""1 / rms of SiLU of a standard normal number."""


class Function:
    """A function R^r -> R^r in a core: the circuit q(c), or a classical control t(c) in its place.

    It holds no tensors: the core registers them under the names given here and passes them in. All functions start from
    the angles that the circuit would have drawn, so the rest of an adapter starts the same for each of them.
    """

    name: ClassVar[str]
    called: ClassVar[str] = "{}"  # a control in a sentence of a comparison, its method's name for {}
    report: ClassVar[str] = ""  # description of a control for reports and model cards
    fixed_tensors: ClassVar[tuple[str, ...]] = ()  # names of tensors in `fixed`
    trained: Shapes  # names and shapes of trained tensors
    fixed: Shapes  # names and shapes of tensors that are saved with the adapter but not trained
    circuit: Circuit | None = None  # the circuit that is run

    def __init__(self, ansatz: Circuit) -> None:
        self.fixed = {}
        self.ansatz = ansatz
        self.r = ansatz.inputs
        self.uploads = ansatz.uploads

    @property
    def input_scale(self) -> float:
        """The rms of c that the scaled start is made for, 1 / sqrt(U)."""
        return self.uploads**-0.5

    def make_ready(self) -> None:
        """Derive what `values` needs beyond tensors; skipped when only parameters are counted."""

    def form(self) -> Hashable:
        """Return a key that two functions must share to be prepared in one batch."""
        return self.name, self.ansatz

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Return the initial tensors, given the circuit's angles under the named start."""
        raise NotImplementedError

    def prepare(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return what `values` needs, computed once a step; leading dimensions stand for several functions."""
        return tuple(tensors)

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """Return the function of every token, (..., r) to (..., r), computed in float32 or better, in c's dtype."""
        raise NotImplementedError

    def phases(self, angles: torch.Tensor) -> torch.Tensor:
        """Return the sum of the trained RY angles on each of the first r qubits, (r,)."""
        phases = angles.new_zeros(self.r)
        for gate in self.ansatz.gates:
            if gate.name == "ry" and gate.source == "parameter" and gate.wires[0] < self.r:
                phases[gate.wires[0]] += gate.scale * angles[gate.index]
        return phases

    @staticmethod
    def generator(angles: torch.Tensor) -> torch.Generator:
        """Return a generator that is seeded by the angles, which leaves the global one untouched."""
        digest = hashlib.sha256(angles.detach().double().cpu().numpy().tobytes()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


class CircuitFunction(Function):
    """q(c): the exact expectation of Z on each qubit of the method's circuit.

    The recorded start draws angles from (-pi, pi), the scaled start from (-pi/4, pi/4): the standard deviation of q_i
    then stays near 0.5 for any number of qubits, while under the recorded start it falls to 0.1 (10 qubits, 10 layers).
    Angles of zero would leave the CRZ gates without gradient.
    """

    name = "quantum"
    circuit: Circuit

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.circuit = ansatz
        self.trained = {"angles": (ansatz.parameters,)}

    def make_ready(self) -> None:
        self.alternating: Alternating | None = alternating_form(self.circuit)
        _ = self.circuit.text

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        return {"angles": angles}

    def prepare(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (angles,) = tensors
        angles = angles if angles.dtype == torch.float64 else angles.float()
        return (angles,) if self.alternating is None else self.alternating.angles(angles)

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        if self.alternating is not None:
            return expectations(self.alternating, c, *prepared).to(c.dtype)
        (angles,) = prepared
        return expectation_values(self.circuit, c.to(angles.dtype), angles).to(c.dtype)


class FrozenCircuit(CircuitFunction):
    """The circuit with random angles that are saved but not trained: shows whether training the angles matters."""

    name = "frozen"
    called = "{} (its circuit, angles not trained)"
    report = "the same circuit with its angles left as they were drawn, untrained"
    fixed_tensors = ("angles",)

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.trained, self.fixed = {}, self.trained


class ProductCircuit(CircuitFunction):
    """The circuit without its CRZ gates: q_i = cos(U c_i + sum of the angles on qubit i), without entanglement."""

    name = "product"
    called = "{} (its circuit without entanglement)"
    report = "the same circuit without its CRZ gates, so without entanglement"

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.circuit, self._kept = unentangled(ansatz)
        self.trained = {"angles": (self.circuit.parameters,)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        return {"angles": angles[list(self._kept)]}


class Perceptron(Function):
    """t(c) = W_k silu(... silu(W_1 c + b_1) ...) + b_k, with W_j of shape (r, r) and b_j of shape (r,).

    k is the number of linear layers, at least 2, that brings k (r^2 + r) nearest to the circuit's number of angles.

    Start: W_j kaiming-uniform, or with the scaled start W_1 = sqrt(U) I and the others 1.68 I, which preserves the rms
    through a SiLU. b_k = cos(phase), the value at c = 0 of the circuit without its CRZ gates; other biases are zero.
    """

    name = "mlp"
    called = "its classical twin {}"
    report = "a small neural network (linear maps with SiLU between them), as near to the circuit in size as it can be"

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        r = self.r
        self.depth = max(2, round(ansatz.parameters / (r * r + r)))
        self.trained = {"mlp_weights": (self.depth, r, r), "mlp_biases": (self.depth, r)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        weights = angles.new_zeros(self.trained["mlp_weights"])
        biases = angles.new_zeros(self.trained["mlp_biases"])
        biases[-1] = self.phases(angles).cos()
        if start == "scaled":
            weights[:] = SILU_GAIN * torch.eye(self.r)
            weights[0] = torch.eye(self.r) / self.input_scale
        else:
            generator = self.generator(angles)
            for weight in weights:
                nn.init.kaiming_uniform_(weight, generator=generator)
        return {"mlp_weights": weights, "mlp_biases": biases}

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        weights, biases = prepared
        x = c.to(weights.dtype)
        for place in range(self.depth):
            x = (silu(x) if place else x) @ weights[place].t() + biases[place]
        return x.to(c.dtype)


class SiluPair(Function):
    """t(c) = W_2 silu(W_1 c), with W_1 and W_2 of shape (r, r) and no biases.

    This is the perceptron of architecture BD of the authors' code. There it stands in the place of Q q(c), not of q(c),
    and W_2 starts at zero. BE and BF have three and four linear maps; they are not offered.

    Start: W_1 and W_2 kaiming-uniform. The scaled start has W_1 = sqrt(U) I and W_2 = 1.68 I, which preserves the rms
    through the SiLU.
    """

    name = "silu"
    called = "{} (a perceptron without biases in its circuit's place)"
    report = "two linear maps without bias, with a SiLU between them, as in the perceptron of the authors' code"

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.trained = {"silu_weights": (2, self.r, self.r)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        weights = angles.new_zeros(self.trained["silu_weights"])
        if start == "scaled":
            weights[0] = torch.eye(self.r) / self.input_scale
            weights[1] = SILU_GAIN * torch.eye(self.r)
        else:
            generator = self.generator(angles)
            for weight in weights:
                nn.init.kaiming_uniform_(weight, generator=generator)
        return {"silu_weights": weights}

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        (weights,) = prepared
        hidden = silu(c.to(weights.dtype) @ weights[0].t())
        return (hidden @ weights[1].t()).to(c.dtype)


class FourierSeries(Function):
    """Sums of products of trigonometric polynomials with the frequencies of the circuit.

        t_j(c) = sum_k prod_i g_kji(c_i),   g(x) = a_0 + sum_{m=1..U} (a_m cos m x + b_m sin m x)

    Theorem (Schuld, Sweke, Meyer, Phys. Rev. A 103, 032430, 2021, arXiv:2008.08605): where the input c_i is the angle
    of U gates exp(-i c_i G / 2), G with eigenvalues +-1, an expectation value of the circuit is a Fourier series in c
    with the frequencies -U ... U for each c_i. Sums of (2 U + 1)^(r - 1) products represent every such series. The
    default number of products is at least 1 and brings terms r^2 (2 U + 1) coefficients nearest to the circuit's number
    of angles.

    Start: the first term is the circuit without its CRZ gates, t_j = cos(U c_j + phase_j). In the further terms g_kjj
    is zero and the others are small random polynomials.
    """

    name = "fourier"
    called = "its classical twin {}"
    report = (
        "products of sums of sines and cosines of the circuit's inputs with trained coefficients: a classical function "
        "of the same frequencies"
    )

    def __init__(self, ansatz: Circuit, fourier_terms: int | None = None) -> None:
        super().__init__(ansatz)
        basis = 2 * self.uploads + 1
        self.terms = fourier_terms or max(1, round(ansatz.parameters / (self.r**2 * basis)))
        self.trained = {"fourier_coefficients": (self.terms, self.r, self.r, basis)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        drawn = torch.randn(self.trained["fourier_coefficients"], generator=self.generator(angles))
        coefficients = drawn.to(angles) * (2 * self.uploads + 1) ** -0.5
        coefficients[0] = 0
        coefficients[0, ..., 0] = 1
        own = torch.arange(self.r)
        coefficients[:, own, own] = 0
        phases = self.phases(angles)
        coefficients[0, own, own, self.uploads] = phases.cos()
        coefficients[0, own, own, 2 * self.uploads] = -phases.sin()
        return {"fourier_coefficients": coefficients}

    def basis(self, c: torch.Tensor) -> torch.Tensor:
        """Return 1, cos x ... cos U x, sin x ... sin U x: (..., r) to (..., r, 2 U + 1)."""
        multiples = c.unsqueeze(-1) * torch.arange(1, self.uploads + 1, device=c.device, dtype=c.dtype)
        return torch.cat([torch.ones_like(c).unsqueeze(-1), multiples.cos(), multiples.sin()], -1)

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        (coefficients,) = prepared
        basis = self.basis(c.to(coefficients.dtype))
        products = None
        for i in range(self.r):  # r is small; a running product needs less memory than all factors at once
            factors = torch.einsum("...b,kjb->...kj", basis[..., i, :], coefficients[:, :, i])
            products = factors if products is None else products * factors
        assert products is not None
        return products.sum(-2).to(c.dtype)


class Bias(Function):
    """t(c) = b, trained (r,), for every token; start: b = cos(phase), the circuit at c = 0 without its CRZ gates."""

    name = "bias"
    called = "{} (a constant in place of its circuit)"
    report = "trained numbers that are the same for every token: what is left of a circuit that ignores its input"

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.trained = {"constant": (self.r,)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        return {"constant": self.phases(angles).cos()}

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        (constant,) = prepared
        return (0 * c + constant).to(c.dtype)  # the zero keeps C in the graph: each parameter has a gradient


FUNCTIONS: dict[str, type[Function]] = {
    kind.name: kind
    for kind in (CircuitFunction, Perceptron, SiluPair, FourierSeries, FrozenCircuit, ProductCircuit, Bias)
}
"""The circuit and its controls, which show what the circuit contributes, by the name in that of a core."""


def make_function(name: str, at: ResolvedConfig) -> Function:
    """Return the function of this name on a layer."""
    return FourierSeries(at.ansatz, at.fourier_terms) if name == "fourier" else FUNCTIONS[name](at.ansatz)
