"""A circuit as a layer of PyTorch; it needs torch, numpy and numba alone."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from qweft.circuit.cpu.compiled import MOST_QUBITS
from qweft.circuit.description import Circuit
from qweft.circuit.engine import expectation_values
from qweft.circuit.precision import circuit_dtype, exact_products
from qweft.core.errors import QweftError

if TYPE_CHECKING:
    from qweft.devices.noise import NoiseModel


class QuantumLayer(nn.Module):
    """A parametrised circuit: (..., inputs) to (..., outputs), batched over all leading axes.

        z_k(x) = <psi(x, t)| O_k |psi(x, t)>,    psi(x, t) = G_m ... G_1 |0...0>

    The angle of a gate G_j is a multiple of an entry of x, of an entry of the weight t, or a constant. O_k is a product
    of Paulis, or the projector on basis state k. Values are exact, in float32, or in float64 if x or t is. So are the
    gradients to x and t. Second derivatives, forward mode and `torch.func` work, more slowly. Autocast is off inside.

    With `shots` an output is a frequency: z_k is the mean of that many outcomes, each output drawn on its own. With
    `noise` the expectation is that of a noise model on the gates of a chip. Gradients are those of the expectation,
    with its noise, and do not see the shots.

    Args:
        circuit: The circuit, of at most 12 qubits (10 with noise).
        shots: Number of measurements of each output, or `None` for exact values.
        noise: A noise model, its name ("paper"), or `None`.
        generator: Source of random numbers for the shots and the initial weight; `None` for PyTorch's own.

    Attributes:
        weight: (circuit.parameters,), in radians, drawn uniformly from (-pi, pi).

    Raises:
        QweftError: If the circuit has no parameters and no inputs, or too many qubits, or `shots` is less than 1.

    Example:
        >>> from qweft import QuantumLayer, c, circuit_of, t
        >>> layer = QuantumLayer(circuit_of(2, ("ry", 0, c(0)), ("ry", 1, c(1)), ("crz", 0, 1, t(0)), ("ry", 1, t(1))))
        >>> layer(torch.zeros(5, 3, 2)).shape
        torch.Size([5, 3, 2])
    """

    def __init__(
        self,
        circuit: Circuit,
        shots: int | None = None,
        noise: "NoiseModel | str | None" = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        most = 10 if noise is not None else MOST_QUBITS
        if circuit.qubits > most:
            raise QweftError(f"the circuit has {circuit.qubits} qubits; a layer takes at most {most}")
        if not circuit.parameters and not circuit.inputs:
            raise QweftError("the circuit has no inputs and no parameters, so there is nothing to compute or train")
        if shots is not None and shots < 1:
            raise QweftError(f"shots is {shots}; give a number of at least 1, or None for exact values")
        if isinstance(noise, str):
            from qweft.devices.noise import noise_model

            noise = noise_model(noise)
        self.circuit, self.shots, self.generator = circuit, shots, generator
        self.noise: NoiseModel | None = noise
        self.weight = nn.Parameter(torch.empty(circuit.parameters).uniform_(-math.pi, math.pi, generator=generator))
        _ = circuit.text  # found now, since a compiler cannot trace it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs.

        Args:
            x: (..., inputs): angles in radians, and amplitudes where the circuit starts from them.

        Returns:
            (..., outputs), float64 if x or the weight is, else float32.

        Raises:
            QweftError: If the last axis does not have the circuit's inputs.
        """
        if x.shape[-1:] != (self.circuit.inputs,):
            raise QweftError(f"the layer takes inputs (..., {self.circuit.inputs}), got {tuple(x.shape)}")
        with exact_products(x.device):
            dtype = circuit_dtype(x, self.weight)
            values = self._expectations(x.to(dtype), self.weight.to(dtype))
        return values if self.shots is None else values + (self._sampled(values.detach()) - values.detach())

    def _expectations(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if self.noise is not None:
            from qweft.devices.noise.paulis import noisy_expectations

            return noisy_expectations(self.circuit, x, weight, self.noise)
        return expectation_values(self.circuit, x, weight)

    def _sampled(self, values: torch.Tensor) -> torch.Tensor:
        """Return frequencies in place of expectations or probabilities."""
        is_chance = self.circuit.observables is None
        chance = (values if is_chance else (1 + values) / 2).clamp(0, 1)
        shots = torch.full_like(chance, self.shots or 1)
        frequency = torch.binomial(shots, chance, generator=self.generator) / shots
        return frequency if is_chance else 2 * frequency - 1

    def draw(self, width: int = 100) -> str:
        """Return the circuit in box-drawing characters, in lines of this many characters."""
        from qweft.circuit.draw.drawing import circuit_text

        return circuit_text(self.circuit, width)

    def to_qasm(self, x: Any = None) -> str:
        """Return the circuit with the trained angles in OpenQASM 3; inputs stay open unless x, one row, is given."""
        from qweft.circuit.formats import to_openqasm3

        return to_openqasm3(self.circuit, x, self.weight)

    def extra_repr(self) -> str:
        """Return the sizes, for `print`."""
        sizes = f"inputs={self.circuit.inputs}, outputs={self.circuit.outputs}, qubits={self.circuit.qubits}"
        return f"{sizes}, parameters={self.circuit.parameters}"
