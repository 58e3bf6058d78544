"""The reference: every gate by itself, as written. Slow, plain, and what every fast path is held equal to."""

import torch

from qweft.circuit.description import Circuit
from qweft.circuit.states import final_states


def gate_by_gate(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Expectation of Z on each qubit, one gate after the other.

    Args:
        circuit: The circuit.
        inputs: (tokens, circuit.inputs), float32 or float64.
        parameters: (circuit.parameters,), same type.

    Returns:
        (tokens, circuit.qubits), each entry in [-1, 1].
    """
    tokens, n = inputs.shape[0], circuit.qubits
    state = final_states(circuit, inputs, parameters).reshape(tokens, *[2] * n)
    probabilities = state.real.square() + state.imag.square()
    values = []
    for qubit in range(n):
        zero, one = probabilities.unbind(qubit + 1)
        values.append((zero - one).reshape(tokens, -1).sum(1))
    return torch.stack(values, 1)
