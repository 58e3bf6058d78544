"""The reference simulation of plain operations, gate by gate; every faster engine is tested against it."""

from collections.abc import Callable, Sequence

import torch

from qweft.circuit.description import Circuit
from qweft.circuit.gates import GATES, Matrix
from qweft.circuit.precision import exact_products
from qweft.internals.torch import in_new_graph


def final_states(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Return |psi> = (last gate) ... (first gate) |0...0>, (tokens, 2^n); qubit 0 is the most significant bit."""
    # inputs (tokens, circuit.inputs), parameters (circuit.parameters,) or (tokens, circuit.parameters), all in radians
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
    sources = {"input": inputs, "parameter": parameters.expand(tokens, -1), "constant": inputs.new_ones(tokens, 1)}
    for gate in circuit.gates:
        kind, angle = GATES[gate.name], sources[gate.source][:, gate.index]
        angle = angle if gate.scale == 1 else angle * gate.scale
        matrix = kind.matrix(angle.reshape(tokens, *[1] * (n - kind.wires)))
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
    """Return what the circuit measures, (tokens, circuit.outputs), gate by gate; arguments as of `final_states`."""
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


def gradients_in_parts(
    function: Callable[..., torch.Tensor], gradient: torch.Tensor, arguments: Sequence[torch.Tensor], amplitudes: int
) -> tuple[torch.Tensor, ...]:
    """Return gradients of a function of inputs (tokens, ...) and others, in parts with graphs of about a gigabyte."""
    inputs, *others = arguments
    tokens = max(1, (2**24 if inputs.device.type == "cpu" else 2**26) // amplitudes)
    found = []
    with in_new_graph():
        for part, outer in zip(inputs.split(tokens), gradient.split(tokens), strict=True):
            copies = [tensor.detach().requires_grad_() for tensor in (part, *others)]
            found.append(torch.autograd.grad(function(*copies), copies, outer, materialize_grads=True))
    to_inputs, *rest = zip(*found, strict=True)
    return torch.cat(to_inputs), *(torch.stack(each).sum(0) for each in rest)


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
