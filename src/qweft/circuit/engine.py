"""The exact engine: one function, and the choice of its path by shape."""

import torch

from qweft.circuit.blocks import BlockExpectation, trained_angles
from qweft.circuit.description import Circuit
from qweft.circuit.precision import circuit_dtype, exact_products
from qweft.circuit.segments import SegmentExpectation, segment_matrices, segments_of

DENSE_QUBITS = 6
"""Up to so many qubits a layer is one dense matrix; above, rotations and phases one block at a time are cheaper."""


def expectation_values(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """The circuit's output z_i = <psi(x, t)| Z_i |psi(x, t)> for every token, exact and differentiable.

    Equal to `gate_by_gate` up to rounding, in values and in gradients to inputs and parameters. Computes in float32, or
    in float64 where an argument is float64, with autocast off.

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
    with exact_products(inputs.device):
        dtype = circuit_dtype(inputs, parameters)
        flat = inputs.to(dtype).reshape(-1, circuit.inputs)
        angles = parameters.to(dtype)
        segments = segments_of(circuit) if circuit.qubits <= DENSE_QUBITS else None
        if segments is None:
            values: torch.Tensor = BlockExpectation.apply(flat, trained_angles(circuit, angles), circuit)
        else:
            if segments.wires != tuple(range(circuit.inputs)):
                flat = flat[:, segments.wires]
            values = SegmentExpectation.apply(flat, segment_matrices(circuit, segments, angles))
        return values.reshape(*inputs.shape[:-1], circuit.qubits)
