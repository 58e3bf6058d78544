"""The compiled engine for any circuit: its tables for each call, and its gradients."""

from functools import partial
from typing import Any

import numpy as np
import torch

from qweft.circuit import compiled
from qweft.circuit.description import Circuit
from qweft.circuit.program import program_of
from qweft.circuit.reference import adjoint_gradients, differentiable_gradients, gate_by_gate
from qweft.circuit.threads import share_out
from qweft.internals.torch import followed_backward, is_transformed

MOST_QUBITS = 12
"""Of the compiled engine: a state of 16 tokens and its gradient take 2 MiB then."""


def values(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Return what a circuit of any kind measures, (tokens, outputs); both arguments have one dtype."""
    if is_transformed():
        return gate_by_gate(circuit, inputs, parameters)
    if torch.compiler.is_compiling():
        return _opaque(inputs, parameters, circuit.text)
    return _Values.apply(circuit, inputs, parameters)


def _is_compiled(circuit: Circuit, inputs: torch.Tensor) -> bool:
    return inputs.device.type == "cpu" and circuit.qubits <= MOST_QUBITS and compiled.available()


def _values_of(circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    if _is_compiled(circuit, inputs):
        return _Call(circuit, inputs, parameters).values()
    with torch.no_grad():
        return gate_by_gate(circuit, inputs, parameters)


def _gradients_of(
    circuit: Circuit, gradient: torch.Tensor, inputs: torch.Tensor, parameters: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    if _is_compiled(circuit, inputs):
        return _Call(circuit, inputs, parameters).gradients(gradient)
    return adjoint_gradients(circuit, gradient, inputs, parameters)


def _backward(
    circuit: Circuit, gradient: torch.Tensor, inputs: torch.Tensor, parameters: torch.Tensor
) -> tuple[torch.Tensor | None, ...]:
    """Return gradients; gate by gate with a graph where the backward pass itself is differentiated."""
    if followed_backward(gradient):
        again = partial(gate_by_gate, circuit)
        return differentiable_gradients(again, (inputs, parameters), gradient)
    return _gradients_of(circuit, gradient, inputs, parameters)


class _Values(torch.autograd.Function):
    """Only the arguments are stored between forward and backward."""

    @staticmethod
    def forward(ctx: Any, circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(inputs, parameters)
        ctx.circuit = circuit
        return _values_of(circuit, inputs, parameters)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, *_backward(ctx.circuit, gradients[0], *ctx.saved_tensors)


@torch.library.custom_op("qweft::circuit", mutates_args=())
def _opaque(inputs: torch.Tensor, parameters: torch.Tensor, circuit: str) -> torch.Tensor:
    return _values_of(Circuit.from_text(circuit), inputs, parameters)


@torch.library.custom_op("qweft::circuit_backward", mutates_args=())
def _opaque_backward(
    gradient: torch.Tensor, inputs: torch.Tensor, parameters: torch.Tensor, circuit: str
) -> tuple[torch.Tensor, torch.Tensor]:
    return _gradients_of(Circuit.from_text(circuit), gradient, inputs, parameters)


@_opaque.register_fake
def _shape(inputs: torch.Tensor, parameters: torch.Tensor, circuit: str) -> torch.Tensor:
    return inputs.new_empty(inputs.shape[0], Circuit.from_text(circuit).outputs)


@_opaque_backward.register_fake
def _shapes(
    gradient: torch.Tensor, inputs: torch.Tensor, parameters: torch.Tensor, circuit: str
) -> tuple[torch.Tensor, torch.Tensor]:
    return inputs.new_empty(inputs.shape), parameters.new_empty(parameters.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    *tensors, ctx.circuit = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    inputs, parameters = ctx.saved_tensors
    if followed_backward(gradient):
        return *_backward(Circuit.from_text(ctx.circuit), gradient, inputs, parameters), None
    return *_opaque_backward(gradient, inputs, parameters, ctx.circuit), None


_opaque.register_autograd(_differentiate, setup_context=_keep)


class _Call:
    """A program with the tables of one call."""

    def __init__(self, circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> None:
        from qweft.circuit.vector import LANES

        self.circuit, self.program = circuit, program_of(circuit)
        self.x = inputs.detach().numpy()
        self.kind = self.x.dtype
        trained = parameters.detach().double().numpy()
        program = self.program
        padded = -(-len(self.x) // LANES) * LANES
        half = np.zeros((len(program.uploads), padded), self.kind)
        for row, (index, scale) in zip(half, program.uploads, strict=True):
            row[: len(self.x)] = self.x[:, index] * self.kind.type(scale / 2)
        self.uploads = np.stack([np.cos(half), np.sin(half)])
        turns = (program.selection @ trained + program.constants) / 2
        self.halves = np.stack([np.cos(turns), np.sin(turns)]).astype(self.kind)
        phases = [d.signs.T @ (d.selection @ trained + d.constants) / 2 for d in program.diagonals]
        table = np.stack(phases) if phases else np.zeros((0, 2**circuit.qubits))
        self.phases = np.stack([np.cos(table), np.sin(table)]).astype(self.kind)
        self.amplitudes = np.zeros((circuit.amplitudes, padded), self.kind)
        if circuit.amplitudes:
            given = self.x[:, : circuit.amplitudes]
            least = np.finfo(self.kind).tiny
            self.norms = np.sqrt(np.maximum(np.square(given).sum(1, keepdims=True), least))
            self.amplitudes[:, : len(given)] = (given / self.norms).T
        blocks = len(program.steps)
        self.shares = compiled.shares_of(len(self.x), circuit.qubits, blocks)

    def _arguments(self) -> tuple[Any, ...]:
        p = self.program
        numbers = self.halves, self.uploads, self.phases, self.amplitudes
        measured = p.signs, p.z_outputs, p.pairs, p.probabilities
        return 2**self.circuit.qubits, (p.steps, p.table, p.terms), numbers, measured

    def values(self) -> torch.Tensor:
        from qweft.circuit import program_kernels

        found = np.empty((len(self.x), self.circuit.outputs), self.kind)
        arguments = self._arguments()
        share_out(lambda _, start, stop: program_kernels.forward(found, *arguments, start, stop), self.shares)
        return torch.from_numpy(found)

    def gradients(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        from qweft.circuit import program_kernels

        program, parts = self.program, len(self.shares)
        outer = np.ascontiguousarray(gradient.detach().numpy(), self.kind)
        to_uploads = np.empty((len(self.x), len(program.uploads)), self.kind)
        to_amplitudes = np.empty((len(self.x), self.circuit.amplitudes), self.kind)
        to_angles = np.zeros((parts, len(program.terms)), self.kind)
        to_phases = np.zeros((parts, self.phases[0].size), self.kind)
        arguments = self._arguments()
        share_out(
            lambda part, start, stop: program_kernels.backward(
                (to_uploads, to_amplitudes, to_angles[part], to_phases[part]), outer, *arguments, start, stop
            ),
            self.shares,
        )
        to_parameters = to_angles.sum(0, np.float64) @ program.selection
        by_diagonal = to_phases.sum(0, np.float64).reshape(len(program.diagonals), 2**self.circuit.qubits)
        for diagonal, of_rows in zip(program.diagonals, by_diagonal, strict=True):
            to_parameters = to_parameters + (diagonal.signs @ of_rows / 2) @ diagonal.selection
        to_inputs = np.zeros_like(self.x)
        for column, (index, scale) in zip(to_uploads.T, program.uploads, strict=True):
            to_inputs[:, index] += self.kind.type(scale) * column
        if self.circuit.amplitudes:
            unit = self.amplitudes[:, : len(self.x)].T
            along = (unit * to_amplitudes).sum(1, keepdims=True)
            to_inputs[:, : self.circuit.amplitudes] += (to_amplitudes - along * unit) / self.norms
        return torch.from_numpy(to_inputs), torch.from_numpy(to_parameters.astype(self.kind))
