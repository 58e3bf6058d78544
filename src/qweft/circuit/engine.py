"""The exact engine: computes a circuit of any form by the fastest available path."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from qweft.circuit import compiled, dense, fused, general
from qweft.circuit.alternating import Alternating, alternating_form
from qweft.circuit.description import Circuit, measured_as_z
from qweft.circuit.precision import circuit_dtype, exact_products
from qweft.circuit.reference import block_by_block, differentiable_gradients
from qweft.errors import QweftError
from qweft.internals.torch import followed_backward, in_forward_mode, is_transformed


def kernels_for(qubits: int, device: torch.device) -> ModuleType:
    """Return the fastest module with `values_of` and `gradients_of`: compiled on a CPU, fused on a GPU, or PyTorch."""
    if device.type == "cpu":
        return compiled if compiled.available() else dense
    return fused if qubits <= fused.MAX_QUBITS and fused.available(device) else dense


def run(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations by the fastest path for this number of qubits on this device.

    Args:
        inputs: (..., n), in radians.
        rotations: (k + 1, n), the trained part of the angles of the rotation blocks, in radians.
        diagonals: (k, 2^n), the angles of the diagonals, in radians.
        uploads: For each rotation block, whether the inputs are added to its angles.

    Returns:
        (..., n).
    """
    qubits = inputs.shape[-1]
    if is_transformed():
        return block_by_block(inputs.reshape(-1, qubits), rotations, diagonals, uploads).reshape(inputs.shape)
    return by_kernels(kernels_for(qubits, inputs.device), inputs, rotations, diagonals, uploads)


def by_kernels(
    kernels: ModuleType,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: tuple[bool, ...],
) -> torch.Tensor:
    """Return expectations by a module's `values_of`, with gradients by its `gradients_of`; shapes as in `run`."""
    if torch.is_grad_enabled() and (inputs.requires_grad or rotations.requires_grad or diagonals.requires_grad):
        return _Expectations.apply(kernels, inputs, rotations, diagonals, uploads)
    return _values_of(kernels, inputs, rotations, diagonals, uploads)


def _values_of(kernels: ModuleType, inputs: torch.Tensor, *rest: Any) -> torch.Tensor:
    values: torch.Tensor = kernels.values_of(inputs.reshape(-1, inputs.shape[-1]), *rest)
    return values.view(inputs.shape)


class _Expectations(torch.autograd.Function):
    """Only the arguments are stored between forward and backward.

    A backward pass that is differentiated, transformed or batched goes block by block in plain operations.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kernels: ModuleType,
        inputs: torch.Tensor,
        rotations: torch.Tensor,
        diagonals: torch.Tensor,
        uploads: tuple[bool, ...],
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, rotations, diagonals)
        ctx.kernels, ctx.uploads = kernels, uploads
        return _values_of(kernels, inputs, rotations, diagonals, uploads)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, rotations, diagonals = ctx.saved_tensors
        flat = (-1, inputs.shape[-1])
        if followed_backward(gradients[0]):
            again = differentiable_gradients(
                lambda x, turns, phases: block_by_block(x.reshape(flat), turns, phases, ctx.uploads).reshape(x.shape),
                (inputs, rotations, diagonals),
                gradients[0],
            )
            return (None, *again, None)
        to_inputs, *to_angles = ctx.kernels.gradients_of(
            gradients[0].reshape(flat), inputs.reshape(flat), rotations, diagonals, ctx.uploads
        )
        return (None, to_inputs.view(inputs.shape), *to_angles, None)


class _OfParameters(torch.autograd.Function):
    """The compiled engine from inputs and parameters, in one node of the graph; more would take most of the time."""

    @staticmethod
    def forward(ctx: Any, form: Alternating, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(inputs, parameters)
        ctx.form = form
        return compiled.values_at(form, inputs, parameters)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, parameters = ctx.saved_tensors
        form: Alternating = ctx.form
        if followed_backward(gradients[0]):

            def values(x: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
                uploaded = form.uploaded(x)
                flat = uploaded.reshape(-1, form.qubits)
                return block_by_block(flat, *form.plain_angles(parameters), form.uploads).reshape(uploaded.shape)

            return (None, *differentiable_gradients(values, (inputs, parameters), gradients[0]))
        return (None, *compiled.gradients_at(form, gradients[0], inputs, parameters))


@torch.library.custom_op("qweft::expectations", mutates_args=())
def _expectations(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: list[int]
) -> torch.Tensor:
    kernels = kernels_for(inputs.shape[1], inputs.device)
    return kernels.values_of(inputs, rotations, diagonals, tuple(map(bool, uploads)))


@torch.library.custom_op("qweft::expectations_backward", mutates_args=())
def _expectations_backward(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: list[int],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    if in_forward_mode():  # a compiled backward pass hands on no tangents, and would lose them without a word
        raise RuntimeError(
            "the compiled backward pass of a circuit carries no tangents; call the model without torch.compile for them"
        )
    kernels = kernels_for(inputs.shape[1], inputs.device)
    to_inputs, to_rotations, to_diagonals = kernels.gradients_of(
        gradient, inputs, rotations, diagonals, tuple(map(bool, uploads))
    )
    return to_inputs, to_rotations, to_diagonals


@_expectations.register_fake
def _shapes(inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: list[int]) -> torch.Tensor:
    return inputs.new_empty(inputs.shape)


@_expectations_backward.register_fake
def _shapes_backward(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    rotations: torch.Tensor,
    diagonals: torch.Tensor,
    uploads: list[int],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return inputs.new_empty(inputs.shape), rotations.new_empty(rotations.shape), diagonals.new_empty(diagonals.shape)


def _keep(ctx: object, inputs: tuple[object, ...], output: torch.Tensor) -> None:
    *tensors, ctx.uploads = inputs  # type: ignore[attr-defined]
    ctx.save_for_backward(*tensors)  # type: ignore[attr-defined]


def _differentiate(ctx: object, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    saved: tuple[torch.Tensor, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
    uploads: list[int] = ctx.uploads  # type: ignore[attr-defined]
    if followed_backward(gradient):
        blocks = tuple(map(bool, uploads))
        again = differentiable_gradients(
            lambda x, turns, phases: block_by_block(x, turns, phases, blocks), saved, gradient
        )
        return (*again, None)
    return (*_expectations_backward(gradient.contiguous(), *saved, uploads), None)


_expectations.register_autograd(_differentiate, setup_context=_keep)


def opaque_expectations(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return expectations by the engine inside a compiled model; shapes as in `run`."""
    return _expectations(inputs, rotations, diagonals, list(map(int, uploads)))


def expectation_values(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Return what the circuit measures, z_i = <psi(x, t)| O_i |psi(x, t)>, for every token, exact and differentiable.

    Equal to `gate_by_gate` up to rounding, in values and in gradients to inputs and parameters. Without entanglement
    L uploads of x are computed as one of L x. float32 rounds that by some 1e-7 of it: by 0.01 L at x = 1e5.
    Computes in float32, or in float64 if an argument is float64, with autocast off. Second derivatives, forward mode
    and `torch.func` go the slower way of `block_by_block`.

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
    form = alternating_form(circuit)
    with exact_products(inputs.device):
        dtype = circuit_dtype(inputs, parameters)
        if form is None:
            flat = inputs.to(dtype).reshape(inputs.shape[:-1].numel(), circuit.inputs)
            found = general.values(circuit, flat, parameters.to(dtype))
            return found.reshape(*inputs.shape[:-1], circuit.outputs)
        if _in_one_call(form, inputs, parameters):
            return _OfParameters.apply(form, inputs.to(dtype), parameters.to(dtype))
        return expectations(form, inputs, *form.angles(parameters.to(dtype)))


def _in_one_call(form: Alternating, inputs: torch.Tensor, parameters: torch.Tensor) -> bool:
    """Whether the compiled engine can go from the parameters themselves."""
    return (
        inputs.device.type == parameters.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not is_transformed()
        and kernels_for(form.qubits, inputs.device) is compiled
    )


def expectations(
    form: Alternating, inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor
) -> torch.Tensor:
    """Return `expectation_values` from the angles of the circuit's blocks.

    inputs (..., inputs), rotations (k + 1, n) and diagonals (k, 2^n) are in radians, the last two from
    `Alternating.angles`, which computes them for many circuits at once. The result is (..., n).
    """
    dtype = circuit_dtype(inputs, rotations)
    uploaded = form.uploaded(inputs.to(dtype))
    if torch.compiler.is_compiling() and not is_transformed():  # a compiler sees the engine as one operator
        flat = uploaded.reshape(-1, form.qubits)
        return opaque_expectations(flat, rotations.to(dtype), diagonals.to(dtype), form.uploads).reshape(uploaded.shape)
    return run(uploaded, rotations.to(dtype), diagonals.to(dtype), form.uploads)


def outputs_by_z(circuit: Circuit, values: Callable[[Circuit], torch.Tensor]) -> torch.Tensor:
    """Return the outputs of a circuit, (..., outputs), by a function that measures Z on each qubit.

    Raises:
        QweftError: If the circuit measures probabilities.
    """
    if circuit.observables is None:
        raise QweftError("probabilities of basis states are not measured on devices; measure products of Paulis")
    columns: dict[int, torch.Tensor] = {}
    for each, outputs, wires in measured_as_z(circuit):
        found = values(each)
        columns |= {output: found[..., wire] for output, wire in zip(outputs, wires, strict=True)}
    return torch.stack([columns[output] for output in range(circuit.outputs)], -1)
