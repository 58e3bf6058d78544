"""The state a circuit ends in, every gate by itself, as written: plain, and what all else is held equal to."""

import torch

from qweft.circuit.description import Circuit


def final_states(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """|psi> = (last gate) ... (first gate) |0...0>, one gate after the other.

    Args:
        circuit: The circuit.
        inputs: (tokens, circuit.inputs), float32 or float64.
        parameters: (circuit.parameters,) for all tokens, or (tokens, circuit.parameters), same type.

    Returns:
        (tokens, 2^n) amplitudes in the complex type of that precision; qubit 0 is the most significant bit.
    """
    tokens, n = inputs.shape[0], circuit.qubits
    dtype = torch.complex128 if inputs.dtype == torch.float64 else torch.complex64
    start = torch.zeros(tokens, 2**n, dtype=dtype, device=inputs.device)
    start[:, 0] = 1
    state = start.reshape(tokens, *[2] * n)
    angles = parameters.expand(tokens, circuit.parameters)
    for gate in circuit.gates:
        source = (inputs if gate.source == "input" else angles)[:, gate.index]
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
    return state.reshape(tokens, 2**n)
