"""The reference: every gate by itself, as written. Slow, plain, and what every fast path is held equal to."""

import torch

from qweft.circuit.description import Circuit


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
    dtype = torch.complex128 if inputs.dtype == torch.float64 else torch.complex64
    start = torch.zeros(tokens, 2**n, dtype=dtype, device=inputs.device)
    start[:, 0] = 1
    state = start.reshape(tokens, *[2] * n)
    for gate in circuit.gates:
        source = inputs[:, gate.index] if gate.source == "input" else parameters[gate.index].expand(tokens)
        half = (source / 2).reshape(tokens, *[1] * (n - 1))
        if gate.name == "ry":
            axis = gate.wires[0] + 1
            zero, one = state.unbind(axis)
            state = torch.stack([half.cos() * zero - half.sin() * one, half.sin() * zero + half.cos() * one], axis)
        else:
            control, target = (wire + 1 for wire in gate.wires)
            rest, active = state.unbind(control)
            axis = target - 1 if control < target else target  # control's axis is gone in `active`
            zero, one = active.unbind(axis)
            half = half.reshape(tokens, *[1] * (n - 2))
            phase = torch.complex(half.cos(), half.sin())
            state = torch.stack([rest, torch.stack([phase.conj() * zero, phase * one], axis)], control)
    probabilities = state.real.square() + state.imag.square()
    values = []
    for qubit in range(n):
        zero, one = probabilities.unbind(qubit + 1)
        values.append((zero - one).reshape(tokens, -1).sum(1))
    return torch.stack(values, 1)
