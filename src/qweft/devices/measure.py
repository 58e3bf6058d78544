"""Expectation values measured on a device, and their gradients by parameter shifts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from qweft.circuit import Circuit
from qweft.circuit.engine import outputs_by_z
from qweft.circuit.gates import GATES
from qweft.core.errors import QweftError
from qweft.devices.bound import BoundCircuits
from qweft.devices.device import RemoteDevice, Runner
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

    def __init__(self, runner: Runner, shots: int | None = None, mitigation: Mitigation | None = None) -> None:
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
            return outputs_by_z(circuit, lambda each: self(each, inputs, parameters))
        values: torch.Tensor = _Measured.apply(self, circuit, inputs, parameters)
        return values

    def expectations(self, circuits: BoundCircuits) -> np.ndarray:
        """Measure z_i of each circuit, shape (circuits, n); equal circuits are measured once."""
        once, places = circuits.unique()
        return self.mitigation.expectations(self.runner, once, self.shots)[places]


def gradient_circuits(circuit: Circuit, tokens: int, inputs: bool = True, parameters: bool = True) -> int:
    """Return the most circuits of a backward pass: tokens times the shifts of the gates with a gradient."""
    return tokens * sum(len(GATES[circuit.gates[place].name].shifts) for place in _asked(circuit, inputs, parameters))


def _asked(circuit: Circuit, inputs: bool, parameters: bool) -> list[int]:
    """Return the indices of the gates whose angle needs a gradient."""
    wanted = {"input": inputs, "parameter": parameters, "constant": False}
    return [place for place, gate in enumerate(circuit.gates) if wanted[gate.source]]


def derivatives(measurer: Measurer, circuits: BoundCircuits, gates: Sequence[int]) -> np.ndarray:
    """Measure the derivative of every z_i with respect to the angles of g gates, (g, circuits, n), in one call."""
    terms = [
        (number, place, *term) for number, place in enumerate(gates) for term in GATES[circuits.gates[place][0]].shifts
    ]
    angles = np.repeat(circuits.angles[None], len(terms), 0)
    for row, (_, place, shift, _) in enumerate(terms):
        angles[row, :, place] += shift
    values = measurer.expectations(replace(circuits, angles=angles.reshape(-1, len(circuits.gates))))
    slopes = np.zeros((len(gates), len(circuits), circuits.qubits))
    for (number, _, _, coefficient), value in zip(terms, values.reshape(len(terms), len(circuits), -1), strict=True):
        slopes[number] += coefficient * value
    return slopes


class _Measured(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, measurer: Measurer, circuit: Circuit, inputs: torch.Tensor, parameters: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, parameters)
        ctx.measurer, ctx.circuit = measurer, circuit
        values = measurer.expectations(BoundCircuits.of(circuit, inputs.reshape(-1, circuit.inputs), parameters))
        return torch.from_numpy(values).to(inputs).reshape(*inputs.shape[:-1], circuit.qubits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, parameters = ctx.saved_tensors
        circuit, asked = ctx.circuit, ctx.needs_input_grad[2:]
        weights = gradient.double().cpu().reshape(-1, circuit.qubits).numpy()
        rows, places = np.flatnonzero(weights.any(1)), _asked(circuit, *asked)
        to_inputs, to_parameters = np.zeros((len(weights), circuit.inputs)), np.zeros(circuit.parameters)
        if len(rows) and places:
            circuits = BoundCircuits.of(circuit, inputs.reshape(-1, circuit.inputs), parameters).pick(rows)
            slopes = (derivatives(ctx.measurer, circuits, places) * weights[rows]).sum(2)
            for place, slope in zip(places, slopes, strict=True):
                gate = circuit.gates[place]
                if gate.source == "input":
                    to_inputs[rows, gate.index] += gate.scale * slope
                else:
                    to_parameters[gate.index] += gate.scale * slope.sum()
        return (
            None,
            None,
            torch.from_numpy(to_inputs).to(inputs).reshape(inputs.shape) if asked[0] else None,
            torch.from_numpy(to_parameters).to(parameters) if asked[1] else None,
        )
