"""The exact engine: one function for a circuit of any form, by the fastest path that serves it."""

import torch

from qweft.circuit import opaque
from qweft.circuit.alternating import Alternating, alternating_form
from qweft.circuit.description import Circuit
from qweft.circuit.gate_by_gate import gate_by_gate
from qweft.circuit.paths import run
from qweft.circuit.precision import circuit_dtype, exact_products


def expectation_values(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """The circuit's output z_i = <psi(x, t)| Z_i |psi(x, t)> for every token, exact and differentiable.

    Equal to `gate_by_gate` up to rounding, in values and in gradients to inputs and parameters. Computes in float32, or
    in float64 where an argument is float64, with autocast off. Differentiable once.

    Args:
        circuit: The circuit.
        inputs: (..., circuit.inputs), the angles x that each token uploads, in radians.
        parameters: (circuit.parameters,), the trained angles t, in radians.

    Returns:
        (..., circuit.qubits), each entry in [-1, 1], in the type it was computed in.

    Raises:
        ValueError: If a shape does not fit the circuit.
    """
    if inputs.shape[-1:] != (circuit.inputs,) or parameters.shape != (circuit.parameters,):
        raise ValueError(
            f"the circuit takes inputs (..., {circuit.inputs}) and parameters ({circuit.parameters},), "
            f"got {tuple(inputs.shape)} and {tuple(parameters.shape)}"
        )
    form = alternating_form(circuit)
    with exact_products(inputs.device):
        dtype = circuit_dtype(inputs, parameters)
        if form is None:
            flat = inputs.to(dtype).reshape(inputs.shape[:-1].numel(), circuit.inputs)
            return gate_by_gate(circuit, flat, parameters.to(dtype)).reshape(*inputs.shape[:-1], circuit.qubits)
        return expectations(form, inputs, *form.angles(parameters.to(dtype)))


def expectations(
    form: Alternating, inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor
) -> torch.Tensor:
    """The same from the angles of the circuit's blocks, for callers that build those of many circuits at once.

    Args:
        form: The circuit.
        inputs: (..., inputs), in radians.
        rotations: (k + 1, n) from `Alternating.angles`, float32 or float64.
        diagonals: (k, 2^n) likewise.

    Returns:
        (..., n), float64 where inputs or angles are, else float32.
    """
    dtype = circuit_dtype(inputs, rotations)
    n = form.qubits
    flat = inputs.to(dtype).reshape(-1, inputs.shape[-1])
    if not form.is_straight or flat.shape[-1] != n:
        flat = flat[:, form.wires] * form.repeats
    # a compiler sees the engine as one operator
    path = opaque.expectations if torch.compiler.is_compiling() else run
    values = path(flat, rotations.to(dtype), diagonals.to(dtype), form.uploads)
    return values.reshape(*inputs.shape[:-1], n)
