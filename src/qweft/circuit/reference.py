"""The reference simulation, gate by gate; every faster engine is tested against it.

It consists of plain operations, so PyTorch differentiates it to any order, in forward mode and under `torch.func`.
"""

from collections.abc import Callable, Sequence

import torch

from qweft.circuit.alternating import basis_signs
from qweft.circuit.description import Circuit
from qweft.circuit.gates import GATES, Matrix
from qweft.circuit.precision import exact_products


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
    if circuit.amplitudes:
        given = inputs[:, : circuit.amplitudes]
        norm = given.square().sum(1, keepdim=True).clamp_min(torch.finfo(given.dtype).tiny).sqrt()
        empty = given.new_zeros(tokens, 2**n - circuit.amplitudes)
        start = torch.cat([given / norm, empty], 1).to(dtype)
    else:
        start = torch.zeros(tokens, 2**n, dtype=dtype, device=inputs.device)
        start[:, 0] = 1
    state = start.reshape(tokens, *[2] * n)
    angles = gate_angles(circuit, inputs, parameters)
    for gate, angle in zip(circuit.gates, angles, strict=True):
        kind = GATES[gate.name]
        matrix = kind.matrix(angle.reshape(tokens, *[1] * (n - kind.wires)))
        state = _acted_on(state, matrix, tuple(wire + 1 for wire in gate.wires), kind.controls)
    return state.reshape(tokens, 2**n)


def gate_angles(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> list[torch.Tensor]:
    """Return the angle of each gate, (tokens,); shapes as in `final_states`."""
    tokens = inputs.shape[0]
    trained, one = parameters.expand(tokens, circuit.parameters), inputs.new_ones(tokens)
    found = []
    for gate in circuit.gates:
        entry = one if gate.source == "constant" else (inputs if gate.source == "input" else trained)[:, gate.index]
        found.append(entry if gate.scale == 1 else entry * gate.scale)
    return found


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
    """Return what the circuit measures, exactly, one gate after the other.

    Args:
        circuit: The circuit.
        inputs: (tokens, circuit.inputs), in radians, float32 or float64.
        parameters: (circuit.parameters,) for all tokens, or (tokens, circuit.parameters), in radians, same dtype.

    Returns:
        (tokens, circuit.outputs), each entry in [-1, 1].
    """
    tokens, n = inputs.shape[0], circuit.qubits
    state = final_states(circuit, inputs, parameters).reshape(tokens, *[2] * n)
    if circuit.observables is None:
        return (state.real.square() + state.imag.square()).reshape(tokens, 2**n)
    turned = (_observed(state, letters) for letters in circuit.observables)
    return torch.stack([(state.real * t.real + state.imag * t.imag).flatten(1).sum(1) for t in turned], 1)


def _observed(state: torch.Tensor, letters: str) -> torch.Tensor:
    """Return P |psi> for a product P of Paulis, one letter for each qubit."""
    turned = state
    for wire, letter in enumerate(letters):
        if letter == "I":
            continue
        zero, one = turned.unbind(wire + 1)
        pair = {"X": (one, zero), "Y": (-1j * one, 1j * zero), "Z": (zero, -one)}[letter]
        turned = torch.stack(pair, wire + 1)
    return turned


def adjoint_gradients(
    circuit: Circuit, gradient: torch.Tensor, inputs: torch.Tensor, parameters: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of `gate_by_gate` to inputs and parameters, without a graph and its memory.

    The state and lambda = sum_k g_k O_k psi go back through the gates. On the way a gate exp(-i t P / 2) has
    dL/dt = Re <lambda| exp(-i pi P / 2) |psi>, taken over the states where its controls are |1>.
    Source: Jones and Gacon, "Efficient calculation of gradients in classical simulations", arXiv:2009.02823.
    """
    tokens, n = inputs.shape[0], circuit.qubits
    with torch.no_grad():
        state = final_states(circuit, inputs, parameters).reshape(tokens, *[2] * n)
        if circuit.observables is None:
            adjoint = gradient.reshape(state.shape) * state
        else:
            adjoint = torch.zeros_like(state)
            for output, letters in enumerate(circuit.observables):
                adjoint += gradient[:, output].reshape(tokens, *[1] * n) * _observed(state, letters)
        to_inputs, to_parameters = torch.zeros_like(inputs), torch.zeros_like(parameters)
        angles = gate_angles(circuit, inputs, parameters)
        for gate, angle in zip(reversed(circuit.gates), reversed(angles), strict=True):
            kind, axes = GATES[gate.name], tuple(wire + 1 for wire in gate.wires)
            shaped = angle.reshape(tokens, *[1] * (n - kind.wires))
            if gate.source != "constant":
                bra, ket, left = adjoint, state, axes
                for _ in range(kind.controls):
                    bra, ket, left = bra.select(left[0], 1), ket.select(left[0], 1), _without_first(left)
                ket = _acted_on(ket, kind.matrix(torch.full_like(shaped, torch.pi)), left, 0)
                derivative = gate.scale * (bra.real * ket.real + bra.imag * ket.imag).flatten(1).sum(1)
                if gate.source == "input":
                    to_inputs[:, gate.index] += derivative
                else:
                    to_parameters[gate.index] += derivative.sum()
            if kind.has_angle:
                inverse = kind.matrix(-shaped)
            else:
                columns = zip(*kind.matrix(shaped), strict=True)
                inverse = [[None if entry is None else entry.conj() for entry in column] for column in columns]
            state, adjoint = (_acted_on(each, inverse, axes, kind.controls) for each in (state, adjoint))
        if circuit.amplitudes:
            given = inputs[:, : circuit.amplitudes]
            norm = given.square().sum(1, keepdim=True).clamp_min(torch.finfo(given.dtype).tiny).sqrt()
            found = 2 * adjoint.reshape(tokens, -1)[:, : circuit.amplitudes].real
            unit = given / norm
            to_inputs[:, : circuit.amplitudes] += (found - (found * unit).sum(1, keepdim=True) * unit) / norm
    return to_inputs, to_parameters


def block_by_block(
    inputs: torch.Tensor, rotations: torch.Tensor, diagonals: torch.Tensor, uploads: tuple[bool, ...]
) -> torch.Tensor:
    """Return the expectation of Z on each qubit, from the angles of the blocks of `alternating.Alternating`.

    Shapes and units as in `engine.Blocks`. Every intermediate state is stored, so memory grows with tokens, 2^n and
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


def differentiable_gradients(
    function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor], gradient: torch.Tensor
) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients to the arguments by plain operations, with a graph if they are differentiated again."""
    again = torch.is_grad_enabled()
    with exact_products(gradient.device), torch.enable_grad():
        # copies in the graph, since one argument may depend on another
        copies = [tensor.view_as(tensor) if tensor.requires_grad else tensor for tensor in arguments]
        wanted = [tensor for tensor in copies if tensor.requires_grad]
        found = iter(torch.autograd.grad(function(*copies), wanted, gradient, create_graph=again, allow_unused=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in arguments)
