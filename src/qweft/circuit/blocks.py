"""Path for any circuit and any number of qubits: block by block, and backwards through the circuit for the gradients.

Every block is unitary, so the backward pass undoes the blocks one after the other from the last state (adjoint
differentiation) and keeps one state, whatever the number of layers.
"""

from functools import lru_cache
from typing import Any

import torch

from qweft.circuit.description import Circuit
from qweft.circuit.precision import exact_products
from qweft.circuit.program import Block, blocks_of, constant
from qweft.circuit.segments import basis_signs_of

CHUNK_AMPLITUDES = 2**16
"""Amplitudes that are worked on at a time; a few real pairs of them stay in cache."""


@lru_cache(maxsize=64)
def _parameter_map(circuit: Circuit) -> torch.Tensor:
    """(all angles of all blocks, parameters): the trained part of every angle."""
    rows = []
    for block in blocks_of(circuit):
        size = circuit.qubits if block.kind == "rotation" else 2**circuit.qubits
        empty = torch.zeros(size, circuit.parameters, dtype=torch.float64)
        rows.append(empty if block.from_parameters is None else block.from_parameters)
    return torch.cat(rows) if rows else torch.zeros(0, circuit.parameters, dtype=torch.float64)


def trained_angles(circuit: Circuit, parameters: torch.Tensor) -> torch.Tensor:
    """The trained part of every block's angles, in a row; differentiable in the parameters."""
    return constant(_parameter_map(circuit), parameters) @ parameters


def _angles(circuit: Circuit, inputs: torch.Tensor, fixed: torch.Tensor) -> list[tuple[Block, slice, torch.Tensor]]:
    """Each block with its rows in `fixed` and its angles, (rows, tokens) or (rows, 1); inputs (inputs, tokens)."""
    found, start = [], 0
    for block in blocks_of(circuit):
        rows = slice(start, start + (circuit.qubits if block.kind == "rotation" else 2**circuit.qubits))
        start = rows.stop
        angles = fixed[rows, None]
        if block.from_inputs is not None:
            angles = angles + constant(block.from_inputs, inputs) @ inputs
        found.append((block, rows, angles))
    return found


def _apply(block: Block, angles: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """The block on a state of real pairs, (2, 2^n, tokens)."""
    _, size, tokens = state.shape
    if block.kind == "diagonal":
        cos, sin = angles.cos(), angles.sin()
        real, imag = state.unbind(0)
        return torch.stack([(cos * real).addcmul_(sin, imag, value=-1), (sin * real).addcmul_(cos, imag)])
    cos, sin = (angles / 2).cos(), (angles / 2).sin()
    for qubit in range(angles.shape[0]):
        zero, one = state.view(2 << qubit, 2, size >> (qubit + 1), tokens).unbind(1)
        turned = torch.empty_like(state)
        up, down = turned.view(2 << qubit, 2, size >> (qubit + 1), tokens).unbind(1)
        torch.mul(zero, cos[qubit], out=up).addcmul_(one, sin[qubit], value=-1)
        torch.mul(zero, sin[qubit], out=down).addcmul_(one, cos[qubit])
        state = turned
    return state


def _angle_gradient(block: Block, qubits: int, state: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """dL/d angle for each angle and token, from the state after the block and the gradient of it."""
    if block.kind == "diagonal":  # d psi / d f = i psi
        return state[0] * gradient[1] - state[1] * gradient[0]
    _, size, tokens = state.shape
    rows = []
    for qubit in range(qubits):  # d psi / d angle = -i Y psi / 2
        zero, one = state.view(2 << qubit, 2, size >> (qubit + 1), tokens).unbind(1)
        to_zero, to_one = gradient.view(2 << qubit, 2, size >> (qubit + 1), tokens).unbind(1)
        rows.append((to_one * zero).addcmul_(to_zero, one, value=-1).sum((0, 1)) / 2)
    return torch.stack(rows)


class BlockExpectation(torch.autograd.Function):
    """Expectations of Z from inputs (tokens, inputs) and trained angles (all angles of all blocks,)."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, fixed: torch.Tensor, circuit: Circuit) -> torch.Tensor:
        """Expectations (tokens, n), chunk by chunk of tokens."""
        ctx.save_for_backward(inputs, fixed)
        ctx.circuit = circuit
        signs = constant(basis_signs_of(circuit.qubits), inputs)
        values = inputs.new_empty(inputs.shape[0], circuit.qubits)
        with exact_products(inputs.device):
            for part in _chunks(inputs, circuit):
                state = _run(circuit, inputs[part].t(), fixed)[0]
                values[part] = state.square().sum(0).t() @ signs
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Gradients to inputs and trained angles, the blocks undone one by one."""
        inputs, fixed = ctx.saved_tensors
        circuit: Circuit = ctx.circuit
        signs = constant(basis_signs_of(circuit.qubits), inputs)
        to_inputs, to_fixed = torch.empty_like(inputs, memory_format=torch.contiguous_format), torch.zeros_like(fixed)
        with exact_products(inputs.device):
            for part in _chunks(inputs, circuit):
                state, blocks = _run(circuit, inputs[part].t(), fixed)
                gradient = 2 * (signs @ gradients[0][part].t()) * state
                to_part = torch.zeros_like(inputs[part].t())
                for block, rows, angles in reversed(blocks):
                    to_angles = _angle_gradient(block, circuit.qubits, state, gradient)
                    to_fixed[rows] += to_angles.sum(1)
                    if block.from_inputs is not None:
                        to_part += constant(block.from_inputs, inputs).t() @ to_angles
                    state, gradient = _apply(block, -angles, state), _apply(block, -angles, gradient)
                to_inputs[part] = to_part.t()
        return to_inputs, to_fixed, None


def _chunks(inputs: torch.Tensor, circuit: Circuit) -> list[slice]:
    step = max(1, CHUNK_AMPLITUDES >> circuit.qubits) if inputs.device.type == "cpu" else 2**13
    return [slice(start, min(start + step, inputs.shape[0])) for start in range(0, inputs.shape[0], step)]


def _run(
    circuit: Circuit, inputs: torch.Tensor, fixed: torch.Tensor
) -> tuple[torch.Tensor, list[tuple[Block, slice, torch.Tensor]]]:
    """The last state, (2, 2^n, tokens), and the blocks with their angles; inputs (inputs, tokens)."""
    state = inputs.new_zeros(2, 2**circuit.qubits, inputs.shape[1])
    state[0, 0] = 1
    blocks = _angles(circuit, inputs, fixed)
    for block, _, angles in blocks:
        state = _apply(block, angles, state)
    return state, blocks
