"""Noisy expectation values in the place of exact ones, differentiable: the noise model in the loop of training."""

import torch

from qweft.circuit import Circuit
from qweft.circuit.precision import circuit_dtype, exact_products
from qweft.devices.noise.model import NoiseModel
from qweft.devices.noise.native import native_gates
from qweft.devices.noise.paulis import read_expectations, simulate


def noisy_expectations(
    circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor, model: NoiseModel
) -> torch.Tensor:
    """What `expectation_values` gives, under the noise model and with its errors of reading out; without shots.

    Args:
        circuit: The circuit.
        inputs: (..., circuit.inputs), in radians.
        parameters: (circuit.parameters,), in radians.
        model: The noise.

    Returns:
        (..., n), computed in float32 or better; differentiable in inputs and parameters.

    Raises:
        RefusedError: If there are too many qubits.
    """
    with exact_products(inputs.device):
        dtype = circuit_dtype(inputs, parameters)
        data = inputs.to(dtype).reshape(-1, circuit.inputs).t().unbind()
        trained = parameters.to(dtype).unbind()
        angles = [data[gate.index] if gate.source == "input" else trained[gate.index] for gate in circuit.gates]
        gates = native_gates(tuple((gate.name, gate.wires) for gate in circuit.gates))
        read = read_expectations(circuit.qubits, model)
        values = simulate(circuit.qubits, gates, angles, inputs[..., 0].numel(), model, read)
        return values.t().reshape(*inputs.shape[:-1], circuit.qubits)
