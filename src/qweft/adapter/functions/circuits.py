"""The circuit, with its angles trained or not, with its CRZ gates or without."""

from collections.abc import Sequence

import torch

from qweft.adapter.functions.base import Function
from qweft.circuit import Circuit, without_crz
from qweft.circuit.alternating import Alternating, alternating_form
from qweft.circuit.engine import expectations


class CircuitFunction(Function):
    """q(c): the expectation of Z on each qubit of the method's circuit, exact.

    Angles uniform in (-pi, pi), as on record; the scaled start has them in (-pi/4, pi/4). With angles that small q_i is
    about cos(U c_i + a phase) for U uploads: its spread stays near 0.5 for any number of qubits, where that of uniform
    angles falls to 0.1 (10 qubits, 10 layers), and with c of rms 1 / sqrt(U) a change of c by a tenth leaves it
    correlated by 0.95. At zero the CRZ gates have no gradient.
    """

    name = "quantum"
    words = "the circuit of the method"
    circuit: Circuit

    def __init__(self, ansatz: Circuit, uploads: int) -> None:
        super().__init__(ansatz, uploads)
        self.circuit = ansatz
        self.trained = {"angles": (ansatz.parameters,)}

    def make_ready(self) -> None:
        """The form in which engines run the circuit, with its tables of 2^r phases."""
        form = alternating_form(self.circuit)
        assert form is not None  # every ansatz of this package is of that form
        self._form: Alternating = form

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """The angles themselves."""
        return {"angles": angles}

    def prepare(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Rotations and diagonals, as `Alternating.angles` gives them, in float32 or better."""
        (angles,) = tensors
        return self._form.angles(angles if angles.dtype == torch.float64 else angles.float())

    def values(self, c: torch.Tensor, *prepared: torch.Tensor) -> torch.Tensor:
        """q(c)."""
        return expectations(self._form, c, *prepared).to(c.dtype)


class FrozenCircuit(CircuitFunction):
    """The circuit with its random angles, which are not trained.

    It tells whether training the angles does anything. The angles are kept in the adapter's file, not drawn again.
    """

    name = "frozen"
    words = "the circuit of the method with random angles that were not trained"

    def __init__(self, ansatz: Circuit, uploads: int) -> None:
        super().__init__(ansatz, uploads)
        self.trained, self.fixed = {}, self.trained


class ProductCircuit(CircuitFunction):
    """The circuit without its CRZ gates: q_i = cos(U c_i + sum of the angles on qubit i), no entanglement.

    It keeps every RY of the circuit, 2 r L angles, of which only the sums on each qubit matter.
    """

    name = "product"
    words = "the circuit of the method without its CRZ gates"

    def __init__(self, ansatz: Circuit, uploads: int) -> None:
        super().__init__(ansatz, uploads)
        self.circuit, self._kept = without_crz(ansatz)
        self.trained = {"angles": (self.circuit.parameters,)}

    def start(self, angles: torch.Tensor, start: str) -> dict[str, torch.Tensor]:
        """Those of the circuit's angles that turn its RY gates."""
        return {"angles": angles[list(self._kept)]}
