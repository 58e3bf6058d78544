"""Expectation values measured on a device, and their gradients by parameter shifts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from qweft.circuit import Circuit
from qweft.circuit.engine import outputs_by_z
from qweft.circuit.gates import GATES
from qweft.core.errors import QweftError
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import CircuitRunner, RemoteDevice
from qweft.devices.mitigation import Mitigation


class Measurer:
    """Measures expectation values on a device. It has the call signature of the exact engine.

    Args:
        runner: Device or executor.
        shots: Measurements of each circuit. `None` for exact probabilities.
        mitigation: Error mitigation. `None` means no mitigation.

    Raises:
        QweftError: The runner is a device that takes jobs, which an `Executor` sends.
    """

    def __init__(self, runner: CircuitRunner, shots: int | None = None, mitigation: Mitigation | None = None) -> None:
        if isinstance(runner, RemoteDevice):
            raise QweftError(f"device {runner.name} takes jobs; give Measurer(Executor(device), ...), which sends them")
        self.runner = runner
        self.shots = shots
        self.mitigation = mitigation or Mitigation()

    def __call__(self, circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """Measure the outputs for every token; equal circuits are measured once.

        A product of Paulis is brought to Z of one qubit by gates, which have errors like the others. Gradients are
        measured by parameter shifts in the backward pass, only for tokens with a nonzero incoming gradient.

        Args:
            circuit: The circuit.
            inputs: (..., circuit.inputs), in radians.
            parameters: (circuit.parameters,), in radians.

        Returns:
            (..., outputs), with the dtype and device of `inputs`. It can be differentiated once, in backward mode.

        Raises:
            QweftError: If the circuit starts from amplitudes or measures probabilities.
        """
        if circuit.measured != "Z":
            return outputs_by_z(circuit, lambda z_circuit: self(z_circuit, inputs, parameters))
        values: torch.Tensor = _MeasuredExpectations.apply(self, circuit, inputs, parameters)
        return values

    def expectations(self, circuits: BoundCircuits) -> np.ndarray:
        """Measure z_i of each circuit, shape (circuits, n); equal circuits are measured once."""
        distinct, index = circuits.unique()
        return self.mitigation.expectations(self.runner, distinct, self.shots)[index]


def gradient_circuits(circuit: Circuit, tokens: int, inputs: bool = True, parameters: bool = True) -> int:
    """Return the most circuits of a backward pass: tokens times the shifts of the gates with a gradient."""
    gates = gates_with_gradient(circuit, inputs, parameters)
    return tokens * sum(len(GATES[circuit.gates[index].name].shifts) for index in gates)


def gates_with_gradient(circuit: Circuit, inputs: bool, parameters: bool) -> list[int]:
    """Return the indices of the gates whose angle needs a gradient."""
    needs_gradient = {"input": inputs, "parameter": parameters, "constant": False}
    return [index for index, gate in enumerate(circuit.gates) if needs_gradient[gate.source]]


class ShiftTerm(NamedTuple):
    """One term of a gate's shift rule: coefficient * z(angle + shift)."""

    owner: int  # of the derivatives, the one that the term belongs to
    gate: int  # index of the gate in the circuit
    shift: float  # in radians
    coefficient: float


def shift_terms(circuits: BoundCircuits, gates: Sequence[int]) -> Iterator[ShiftTerm]:
    """Yield the terms of the derivatives with respect to the angles of some gates."""
    for owner, gate in enumerate(gates):
        name, _ = circuits.gates[gate]
        for shift, coefficient in GATES[name].shifts:
            yield ShiftTerm(owner, gate, shift, coefficient)


def derivatives(measurer: Measurer, circuits: BoundCircuits, gates: Sequence[int]) -> np.ndarray:
    """Measure the derivative of every z_i with respect to the angles of g gates, (g, circuits, n), in one call.

    dz/dt = sum over the gate's terms of coefficient * z(t + shift)
    """
    terms = list(shift_terms(circuits, gates))
    angles = np.repeat(circuits.angles[None], len(terms), axis=0)  # (terms, circuits, gates)
    for row, term in enumerate(terms):
        angles[row, :, term.gate] += term.shift
    shifted = replace(circuits, angles=angles.reshape(-1, len(circuits.gates)))
    values = measurer.expectations(shifted).reshape(len(terms), len(circuits), -1)
    slopes = np.zeros((len(gates), len(circuits), circuits.qubits))
    for term, value in zip(terms, values, strict=True):
        slopes[term.owner] += term.coefficient * value
    return slopes


class _MeasuredExpectations(torch.autograd.Function):
    """Expectation values (..., n) of (measurer, circuit, inputs, parameters), with measured gradients."""

    @staticmethod
    def forward(
        ctx: Any, measurer: Measurer, circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, parameters)
        ctx.measurer = measurer
        ctx.circuit = circuit
        circuits = BoundCircuits.of(circuit, inputs.reshape(-1, circuit.inputs), parameters)
        values = torch.from_numpy(measurer.expectations(circuits)).to(inputs)
        return values.reshape(*inputs.shape[:-1], circuit.qubits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, parameters = ctx.saved_tensors
        circuit = ctx.circuit
        _, _, needs_inputs, needs_parameters = ctx.needs_input_grad
        weights = gradient.double().cpu().reshape(-1, circuit.qubits).numpy()
        tokens = np.flatnonzero(weights.any(1))  # a token without an incoming gradient needs no circuits
        gates = gates_with_gradient(circuit, needs_inputs, needs_parameters)
        to_inputs = np.zeros((len(weights), circuit.inputs))
        to_parameters = np.zeros(circuit.parameters)
        if len(tokens) and gates:
            circuits = BoundCircuits.of(circuit, inputs.reshape(-1, circuit.inputs), parameters).pick(tokens)
            # the incoming gradient sums the outputs of each circuit to one number a gate: (g, circuits)
            slopes = (derivatives(ctx.measurer, circuits, gates) * weights[tokens]).sum(2)
            for index, slope in zip(gates, slopes, strict=True):
                gate = circuit.gates[index]
                # an angle is scale times its entry, and an entry may feed several gates
                if gate.source == "input":
                    to_inputs[tokens, gate.index] += gate.scale * slope
                else:
                    to_parameters[gate.index] += gate.scale * slope.sum()
        input_gradient = None
        if needs_inputs:
            input_gradient = torch.from_numpy(to_inputs).to(inputs).reshape(inputs.shape)
        parameter_gradient = None
        if needs_parameters:
            parameter_gradient = torch.from_numpy(to_parameters).to(parameters)
        return None, None, input_gradient, parameter_gradient
