"""The base class of the functions in a core."""

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

import torch

from qweft.circuit import Circuit

Shapes = Mapping[str, tuple[int, ...]]
ANGLE_BOUND = math.pi / 4
"""Largest absolute angle of the scaled start, in radians."""


class Function:
    """A function R^r -> R^r in a core: the circuit q(c), or a classical control t(c) in its place.

    It holds no tensors: the core registers them under the names given here and passes them in. All functions start from
    the angles that the circuit would have drawn, so the rest of an adapter starts the same for each of them.

    Args:
        ansatz: The circuit of the method, r inputs to r outputs.
    """

    name: ClassVar[str]
    words: ClassVar[str]
    """Description for the model card."""
    called: ClassVar[str] = "{}"
    """A control in a sentence of a comparison, its method's name for {}."""
    report: ClassVar[str] = ""
    """Description of a control for the notes of a report."""
    fixed_tensors: ClassVar[tuple[str, ...]] = ()
    """Names of tensors in `fixed`."""
    trained: Shapes
    """Names and shapes of trained tensors."""
    fixed: Shapes
    """Names and shapes of tensors that are saved with the adapter but not trained."""
    circuit: Circuit | None = None
    """The circuit that is run, or `None`."""

    def __init__(self, ansatz: Circuit) -> None:
        self.fixed = {}
        self.ansatz = ansatz
        self.r = ansatz.inputs
        self.uploads = ansatz.uploads

    @property
    def input_scale(self) -> float:
        """The rms of c that the scaled start is made for, 1 / sqrt(U)."""
        return self.uploads**-0.5

    def make_ready(self) -> None:
        """Derive what `values` needs beyond tensors; skipped when only parameters are counted."""

    def form(self) -> Hashable:
        """Return a key that two functions must share to be prepared in one batch."""
        return self.name, self.ansatz

    def draw(self) -> torch.Tensor:
        """Return a zero tensor of the shape of the circuit's angles."""
        return torch.zeros(self.ansatz.parameters)

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Return the initial tensors, given the circuit's angles under the named start."""
        raise NotImplementedError

    def prepare(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return what `values` needs, computed once a step; leading dimensions stand for several functions."""
        return tuple(tensors)

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """Return the function of every token, (..., r) to (..., r), computed in float32 or better, in c's dtype."""
        raise NotImplementedError

    def phases(self, angles: torch.Tensor) -> torch.Tensor:
        """Return (r,): the sum of the trained RY angles on the first r qubits.

        Without CRZ gates the recorded circuit is q_i = cos(U c_i + phase_i).
        """
        found = angles.new_zeros(self.r)
        for gate in self.ansatz.gates:
            if gate.name == "ry" and gate.source == "parameter" and gate.wires[0] < self.r:
                found[gate.wires[0]] += gate.scale * angles[gate.index]
        return found

    @staticmethod
    def generator(angles: torch.Tensor) -> torch.Generator:
        """Return a generator that is seeded by the angles, which leaves the global one untouched."""
        digest = hashlib.sha256(angles.detach().double().cpu().numpy().tobytes()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
