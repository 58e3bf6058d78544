"""The circuit: with trained angles, with frozen angles, or without its CRZ gates."""

from collections.abc import Sequence

import torch

from qweft.adapter.functions.base import Function
from qweft.circuit import Circuit, general, unentangled
from qweft.circuit.alternating import Alternating, alternating_form
from qweft.circuit.engine import expectations


class CircuitFunction(Function):
    """q(c): the exact expectation of Z on each qubit of the method's circuit.

    The recorded start draws angles uniformly from (-pi, pi), the scaled start from (-pi/4, pi/4). With small angles q_i
    is about cos(U c_i + a phase) for U uploads. Its standard deviation then stays near 0.5 for any number of qubits,
    while under the recorded start it falls to 0.1 (10 qubits, 10 layers). For c of rms 1 / sqrt(U) a change of c by a
    tenth leaves q correlated by 0.95. Angles of zero would leave the CRZ gates without gradient.
    """

    name = "quantum"
    words = "the circuit of the method"
    circuit: Circuit

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.circuit = ansatz
        self.trained = {"angles": (ansatz.parameters,)}

    def make_ready(self) -> None:
        """Derive what the engines run: the alternating form with its tables of 2^r phases, or the circuit's text."""
        self.alternating: Alternating | None = alternating_form(self.circuit)
        _ = self.circuit.text

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Return the angles themselves."""
        return {"angles": angles}

    def prepare(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return rotations and diagonals, as `Alternating.angles` does, or the angles, in float32 or better."""
        (angles,) = tensors
        angles = angles if angles.dtype == torch.float64 else angles.float()
        return (angles,) if self.alternating is None else self.alternating.angles(angles)

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """Return q(c), (..., r)."""
        if self.alternating is not None:
            return expectations(self.alternating, c, *prepared).to(c.dtype)
        (angles,) = prepared
        flat = c.to(angles.dtype).reshape(c.shape[:-1].numel(), self.r)
        return general.values(self.circuit, flat, angles).reshape(c.shape).to(c.dtype)


class FrozenCircuit(CircuitFunction):
    """The circuit with random angles that are not trained.

    It shows whether training the angles matters. The angles are saved in the adapter's file, not drawn again.
    """

    name = "frozen"
    words = "the circuit of the method with random angles that were not trained"
    called = "{} (its circuit, angles not trained)"
    report = "the same circuit with its angles left as they were drawn, untrained"
    fixed_tensors = ("angles",)

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.trained, self.fixed = {}, self.trained


class ProductCircuit(CircuitFunction):
    """The circuit without its CRZ gates: q_i = cos(U c_i + sum of the angles on qubit i), without entanglement.

    It keeps every RY of the circuit, 2 r L angles, of which only the sum on each qubit matters.
    """

    name = "product"
    words = "the circuit of the method without its CRZ gates"
    called = "{} (its circuit without entanglement)"
    report = "the same circuit without its CRZ gates, so without entanglement"

    def __init__(self, ansatz: Circuit) -> None:
        super().__init__(ansatz)
        self.circuit, self._kept = unentangled(ansatz)
        self.trained = {"angles": (self.circuit.parameters,)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Return those of the circuit's angles that belong to RY gates."""
        return {"angles": angles[list(self._kept)]}
