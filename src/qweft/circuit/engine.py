"""The exact engine: computes a circuit of any form by the fastest available path."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import torch

from qweft.circuit import dense
from qweft.circuit.alternating import Alternating, alternating_form
from qweft.circuit.cpu import compiled
from qweft.circuit.dense import block_by_block
from qweft.circuit.description import Circuit, measured_as_z
from qweft.circuit.gpu import fused
from qweft.circuit.precision import circuit_dtype, exact_products
from qweft.circuit.reference import differentiable_gradients, gate_by_gate, gradients_in_parts
from qweft.core.errors import QweftError
from qweft.internals.torch import followed_backward, in_forward_mode, is_transformed


def kernels_for(qubits: int, device: torch.device) -> ModuleType:
    """Return the fastest module with `values_of` and `gradients_of`: compiled on a CPU, fused on a GPU, or PyTorch."""
    if device.type == "cpu":
        return compiled if compiled.available() else dense
    if qubits > fused.MAX_QUBITS or not fused.available(device):
        return dense
    from qweft.circuit.gpu import fused_kernels  # here, since Triton may be missing

    return fused_kernels


@dataclass(frozen=True)
class Blocks:
    """Expectations (tokens, n) of Z from inputs (tokens, n), rotations (k + 1, n), diagonals (k, 2^n), in radians."""

    uploads: tuple[bool, ...]  # of each rotation block: whether the inputs are added to its angles
    kernels: ModuleType | None = None  # as of `kernels_for`; `None`: the fastest

    def _kernels(self, inputs: torch.Tensor) -> ModuleType:
        return self.kernels or kernels_for(inputs.shape[1], inputs.device)

    def values(self, inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor) -> torch.Tensor:
        """Return the expectations without a graph."""
        return self._kernels(inputs).values_of(inputs, rotations, diagonals, self.uploads)

    def gradients(self, gradient: torch.Tensor, *arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the gradients to the arguments of `values`."""
        return self._kernels(gradient).gradients_of(gradient, *arguments, self.uploads)

    def plain(self, inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor) -> torch.Tensor:
        """Return the expectations by plain operations."""
        return block_by_block(inputs, rotations, diagonals, self.uploads)

    @property
    def text(self) -> str:
        """The text that `_read` reads."""
        return "".join(str(int(upload)) for upload in self.uploads)


@dataclass(frozen=True)
class Whole:
    """What a circuit of any kind measures, (tokens, outputs), from inputs (tokens, inputs) and parameters."""

    circuit: Circuit

    def _is_compiled(self, inputs: torch.Tensor) -> bool:
        return inputs.device.type == "cpu" and self.circuit.qubits <= compiled.MOST_QUBITS and compiled.available()

    def values(self, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """Return the outputs without a graph."""
        if self._is_compiled(inputs):
            return compiled.values_at(self.circuit, inputs, parameters)
        with torch.no_grad():
            return self.plain(inputs, parameters)

    def gradients(
        self, gradient: torch.Tensor, inputs: torch.Tensor, parameters: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return the gradients to the arguments of `values`."""
        if self._is_compiled(inputs):
            return compiled.gradients_at(self.circuit, gradient, inputs, parameters)
        kept = 1 if alternating_form(self.circuit) else 3 * (1 + len(self.circuit.gates)) << self.circuit.qubits
        return gradients_in_parts(self.plain, gradient, (inputs, parameters), kept)

    def plain(self, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """Return the outputs by plain operations, or by blocks."""
        form = alternating_form(self.circuit)
        if form is None:
            return gate_by_gate(self.circuit, inputs, parameters)
        return run(Blocks(form.uploads), form.uploaded(inputs), *form.angles(parameters))

    @property
    def text(self) -> str:
        """The text that `_read` reads."""
        return self.circuit.text


Way = Blocks | Whole


def run(way: Way, *arguments: torch.Tensor) -> torch.Tensor:
    """Return a way's values, differentiable to any order, one operator to a compiler; inputs may have leading axes."""
    if is_transformed():
        return in_rows(way.plain, *arguments)
    if torch.compiler.is_compiling():
        return in_rows(lambda *rows: opaque(list(rows), way.text), *arguments)
    if torch.is_grad_enabled() and any(argument.requires_grad for argument in arguments):
        return _Exact.apply(way, *arguments)
    return in_rows(way.values, *arguments)


def in_rows(function: Callable[..., torch.Tensor], inputs: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Return what a function of inputs (tokens, ...) makes of inputs with any leading axes."""
    found = function(inputs.reshape(inputs.shape[:-1].numel(), inputs.shape[-1]), *others)
    return found.reshape(*inputs.shape[:-1], found.shape[-1])


class _Exact(torch.autograd.Function):
    """Only the arguments are stored between forward and backward. It flattens axes itself: each node takes time."""

    @staticmethod
    def forward(ctx: Any, way: Way, *arguments: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(*arguments)
        ctx.way = way
        return in_rows(way.values, *arguments)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        way, (gradient,), (inputs, *others) = ctx.way, gradients, ctx.saved_tensors
        if followed_backward(gradient):
            return None, *differentiable_gradients(partial(in_rows, way.plain), (inputs, *others), gradient)
        rows = inputs.shape[:-1].numel()
        flat = gradient.reshape(rows, gradient.shape[-1]), inputs.reshape(rows, inputs.shape[-1])
        to_inputs, *rest = way.gradients(*flat, *others)
        return None, to_inputs.reshape(inputs.shape), *rest


def _read(text: str) -> Way:
    return Whole(Circuit.from_text(text)) if text.startswith("{") else Blocks(tuple(each == "1" for each in text))


@torch.library.custom_op("qweft::circuit", mutates_args=())
def opaque(arguments: list[torch.Tensor], way: str) -> torch.Tensor:
    """Return the values of a way, given as its text, as one operator for a compiler."""
    return _read(way).values(*arguments)


@torch.library.custom_op("qweft::circuit_backward", mutates_args=())
def _opaque_backward(gradient: torch.Tensor, arguments: list[torch.Tensor], way: str) -> list[torch.Tensor]:
    if in_forward_mode():  # a compiled backward pass hands on no tangents, and would lose them without a word
        raise RuntimeError(
            "the compiled backward pass of a circuit carries no tangents; call the model without torch.compile for them"
        )
    return list(_read(way).gradients(gradient, *arguments))


@opaque.register_fake
def _shape(arguments: list[torch.Tensor], way: str) -> torch.Tensor:
    found = _read(way)
    outputs = found.circuit.outputs if isinstance(found, Whole) else arguments[0].shape[1]
    return arguments[0].new_empty(arguments[0].shape[0], outputs)


@_opaque_backward.register_fake
def _shapes(gradient: torch.Tensor, arguments: list[torch.Tensor], way: str) -> list[torch.Tensor]:
    return [argument.new_empty(argument.shape) for argument in arguments]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    arguments, ctx.way = inputs
    ctx.save_for_backward(*arguments)


def _differentiate(ctx: Any, gradient: torch.Tensor) -> tuple[list[torch.Tensor | None], None]:
    arguments = list(ctx.saved_tensors)
    if followed_backward(gradient):
        return list(differentiable_gradients(_read(ctx.way).plain, arguments, gradient)), None
    return list(_opaque_backward(gradient.contiguous(), arguments, ctx.way)), None


opaque.register_autograd(_differentiate, setup_context=_keep)


def expectation_values(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Return what the circuit measures, z_i = <psi(x, t)| O_i |psi(x, t)>, for every token, exact and differentiable.

    Equal to `gate_by_gate` up to rounding, in values and in gradients to inputs and parameters. Without entanglement
    L uploads of x are computed as one of L x. float32 rounds that by some 1e-7 of it: by 0.01 L at x = 1e5.
    Computes in float32, or in float64 if an argument is float64, with autocast off. Second derivatives, forward mode
    and `torch.func` go a slower way, in plain operations.

    Args:
        circuit: The circuit.
        inputs: (..., circuit.inputs), the angles x that each token uploads, in radians.
        parameters: (circuit.parameters,), the trained angles t, in radians.

    Returns:
        (..., circuit.outputs), each entry in [-1, 1], float32 or float64 as computed.

    Raises:
        QweftError: If a shape does not fit the circuit.
    """
    if inputs.shape[-1:] != (circuit.inputs,) or parameters.shape != (circuit.parameters,):
        raise QweftError(
            f"the circuit takes inputs (..., {circuit.inputs}) and parameters ({circuit.parameters},), "
            f"got {tuple(inputs.shape)} and {tuple(parameters.shape)}"
        )
    with exact_products(inputs.device):
        dtype = circuit_dtype(inputs, parameters)
        return run(Whole(circuit), inputs.to(dtype), parameters.to(dtype))


def expectations(
    form: Alternating, inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor
) -> torch.Tensor:
    """Return `expectation_values` (..., n) from inputs (..., inputs) and `Alternating.angles`, all in radians."""
    dtype = circuit_dtype(inputs, rotations)
    return run(Blocks(form.uploads), form.uploaded(inputs.to(dtype)), rotations.to(dtype), diagonals.to(dtype))


def outputs_by_z(circuit: Circuit, values: Callable[[Circuit], torch.Tensor]) -> torch.Tensor:
    """Return outputs (..., outputs) of a circuit without probabilities, by a function that measures Z on each qubit."""
    if circuit.observables is None:
        raise QweftError("probabilities of basis states are not measured on devices; measure products of Paulis")
    columns: dict[int, torch.Tensor] = {}
    for each, outputs, wires in measured_as_z(circuit):
        found = values(each)
        columns |= {output: found[..., wire] for output, wire in zip(outputs, wires, strict=True)}
    return torch.stack([columns[output] for output in range(circuit.outputs)], -1)
