"""The reference simulation, gate by gate; every faster engine is tested against it.

It consists of plain operations, so PyTorch differentiates it to any order, in forward mode and under `torch.func`.
"""

import torch

from qweft.circuit.alternating import basis_signs
from qweft.circuit.description import Circuit
from qweft.circuit.gates import GATES, Matrix


def final_states(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Return |psi> = (last gate) ... (first gate) |0...0>, one gate after the other.

    Args:
        circuit: The circuit.
        inputs: (tokens, circuit.inputs), in radians, float32 or float64.
        parameters: (circuit.parameters,) for all tokens, or (tokens, circuit.parameters), in radians, same dtype.

    Returns:
        (tokens, 2^n) amplitudes, complex64 or complex128; qubit 0 is the most significant bit.
    """
    tokens, n = inputs.shape[0], circuit.qubits
    dtype = torch.complex128 if inputs.dtype == torch.float64 else torch.complex64
    start = torch.zeros(tokens, 2**n, dtype=dtype, device=inputs.device)
    start[:, 0] = 1
    state = start.reshape(tokens, *[2] * n)
    angles = parameters.expand(tokens, circuit.parameters)
    for gate in circuit.gates:
        source = (inputs if gate.source == "input" else angles)[:, gate.index]
        kind = GATES[gate.name]
        matrix = kind.matrix(source.reshape(tokens, *[1] * (n - kind.wires)))
        state = _acted_on(state, matrix, tuple(wire + 1 for wire in gate.wires), kind.controls)
    return state.reshape(tokens, 2**n)


def _acted_on(state: torch.Tensor, matrix: Matrix, axes: tuple[int, ...], controls: int) -> torch.Tensor:
    """Return the state (tokens, 2, ..., 2) after a matrix acted on the last of the axes, controlled by the first."""
    if controls:
        rest, active = state.unbind(axes[0])
        return torch.stack([rest, _acted_on(active, matrix, _without_first(axes), controls - 1)], axes[0])
    parts = _split(state, axes)
    rows = []
    for row in matrix:
        terms = [entry * part for entry, part in zip(row, parts, strict=True) if entry is not None]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        rows.append(total)
    return _joined(rows, axes)


def _split(state: torch.Tensor, axes: tuple[int, ...]) -> list[torch.Tensor]:
    """Return the state at each value of the axes' bits, the first axis being the most significant."""
    if not axes:
        return [state]
    return [part for half in state.unbind(axes[0]) for part in _split(half, _without_first(axes))]


def _joined(parts: list[torch.Tensor], axes: tuple[int, ...]) -> torch.Tensor:
    """Return the inverse of `_split`."""
    if not axes:
        return parts[0]
    half, inner = len(parts) // 2, _without_first(axes)
    return torch.stack([_joined(parts[:half], inner), _joined(parts[half:], inner)], axes[0])


def _without_first(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the other axes, renumbered for the removal of the first."""
    return tuple(axis - (axis > axes[0]) for axis in axes[1:])


def gate_by_gate(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Return the expectation of Z on each qubit, one gate after the other.

    Args:
        circuit: The circuit.
        inputs: (tokens, circuit.inputs), in radians, float32 or float64.
        parameters: (circuit.parameters,) for all tokens, or (tokens, circuit.parameters), in radians, same dtype.

    Returns:
        (tokens, circuit.qubits), each entry in [-1, 1].
    """
    tokens, n = inputs.shape[0], circuit.qubits
    state = final_states(circuit, inputs, parameters).reshape(tokens, *[2] * n)
    probabilities = state.real.square() + state.imag.square()
    values = []
    for qubit in range(n):
        zero, one = probabilities.unbind(qubit + 1)
        values.append((zero - one).reshape(tokens, 2 ** (n - 1)).sum(1))
    return torch.stack(values, 1)


def block_by_block(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return the expectation of Z on each qubit, from the angles of the blocks of `alternating.Alternating`.

    Shapes and units as in `engine.run`. Every intermediate state is stored, so memory grows with tokens times 2^n times
    blocks.
    """
    n = inputs.shape[-1]
    signs = basis_signs(n).to(inputs)
    one = torch.ones_like(inputs[:, :1])  # sizes that are numbers would be constants of a trace
    imaginary = torch.zeros_like(one).expand(-1, 2**n)
    real = torch.cat([one, imaginary[:, 1:]], -1)
    for block, here in enumerate(uploads):
        if block:
            cos, sin = diagonals[block - 1].cos(), diagonals[block - 1].sin()
            real, imaginary = cos * real - sin * imaginary, sin * real + cos * imaginary
        trained = rotations[block].expand_as(inputs)
        # one after the other: a sum of angles would round a small trained one on a large input
        for angles in (trained, inputs) if here else (trained,):
            real, imaginary = _turned(real, angles / 2), _turned(imaginary, angles / 2)
    return (real.square() + imaginary.square()) @ signs


def _turned(state: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
    """Return the real state (tokens, 2^n) after RY on each qubit, for half angles (tokens, n)."""
    size = state.shape[-1]
    for qubit in range(half.shape[-1]):
        cos, sin = half[:, qubit].cos()[:, None, None], half[:, qubit].sin()[:, None, None]
        zero, one = state.unflatten(-1, (2**qubit, 2, size >> (qubit + 1))).unbind(-2)
        state = torch.stack([cos * zero - sin * one, sin * zero + cos * one], -2).flatten(1)
    return state
