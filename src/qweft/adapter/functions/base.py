"""What every function in a core has in common."""

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

import torch

from qweft.circuit import Circuit

Shapes = Mapping[str, tuple[int, ...]]
ANGLE_BOUND = math.pi / 4
"""Largest angle of the scaled start."""


class Function:
    """A function R^r -> R^r in a core: the circuit q(c), or a twin t(c) in its place.

    It holds no tensors: a core keeps them under the names given here, and hands them over. All of them start from the
    angles that the circuit would have drawn, so that everything else in an adapter starts equal whatever stands here.

    Args:
        ansatz: The circuit of the method, of r qubits.
        uploads: How often the circuit uploads its input, U.
    """

    name: ClassVar[str]
    words: ClassVar[str]
    """What it is, in a sentence of the model card."""
    trained: Shapes
    """Names and shapes of what is trained."""
    fixed: Shapes
    """... and of what is not, but belongs to the adapter and is saved with it."""
    circuit: Circuit | None = None
    """The circuit that is run, if one is."""

    def __init__(self, ansatz: Circuit, uploads: int) -> None:
        self.fixed = {}
        self.ansatz = ansatz
        self.r = ansatz.qubits
        self.uploads = uploads

    @property
    def input_scale(self) -> float:
        """The rms of c for which the scaled start is made, 1 / sqrt(U)."""
        return self.uploads**-0.5

    def make_ready(self) -> None:
        """Derive what `values` needs beyond tensors; a function that is only counted is spared it."""

    def form(self) -> Hashable:
        """What two functions must agree in to be prepared together."""
        return self.name, self.ansatz

    def draw(self) -> torch.Tensor:
        """An empty tensor for the angles of the circuit."""
        return torch.zeros(self.ansatz.parameters)

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """The tensors at the start, from the circuit's angles at the named start."""
        raise NotImplementedError

    def prepare(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What `values` needs, made once a step; any leading dimensions stand for several functions at once.

        Args:
            tensors: Those of `trained` and then of `fixed`, in their order.
        """
        return tuple(tensors)

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """The function for every token, (..., r) to (..., r), computed in float32 or better, in c's type."""
        raise NotImplementedError

    def phases(self, angles: torch.Tensor) -> torch.Tensor:
        """(r,): what the trained RY gates on each qubit add up to: without CRZ gates, q_i = cos(U c_i + phase_i)."""
        found = angles.new_zeros(self.r)
        for gate in self.ansatz.gates:
            if gate.name == "ry" and gate.source == "parameter":
                found[gate.wires[0]] += angles[gate.index]
        return found

    @staticmethod
    def generator(angles: torch.Tensor) -> torch.Generator:
        """A source of further random numbers that follows from the angles and leaves the global one alone."""
        digest = hashlib.sha256(angles.detach().double().cpu().numpy().tobytes()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
