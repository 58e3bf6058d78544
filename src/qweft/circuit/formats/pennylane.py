"""A circuit as PennyLane's quantum function."""

from collections.abc import Callable, Collection
from typing import Any

from qweft.circuit.description import Circuit
from qweft.circuit.formats.common import Numbers, bound, given_numbers
from qweft.circuit.gates import GATES
from qweft.core.errors import require


def to_pennylane(
    circuit: Circuit,
    inputs: Numbers | None = None,
    parameters: Numbers | None = None,
    measured: bool = True,
    barriers: Collection[int] = (),
) -> Callable[..., list[Any] | None]:
    """Return a quantum function f(inputs, parameters) on wires 0..n-1, where wire i is qubit i.

    `pennylane.QNode(f, device)` makes it executable, `pennylane.tape.make_qscript(f)(...)` makes it a QuantumScript.
    The numbers given here are the function's defaults. It accepts tensors of any library that PennyLane differentiates,
    with inputs of shape (circuit.inputs,) or, for several tokens, (tokens, circuit.inputs).

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians.
        parameters: (circuit.parameters,), in radians.
        measured: Whether it returns what the circuit measures, as a list. If not it returns `None`, for use inside a
            quantum function with measurements of its own.
        barriers: Numbers of gates that a barrier precedes, across which a compiler takes nothing together.

    Raises:
        QweftError: If PennyLane is not installed, or numbers do not fit the circuit or are not finite.
    """
    pennylane = require("pennylane", "pennylane", "a PennyLane function")
    make = {name: getattr(pennylane, GATES[name].pennylane or name.upper()) for name in {g.name for g in circuit.gates}}
    c, t = given_numbers(circuit, inputs, parameters)

    def quantum_function(inputs: Any = c, parameters: Any = t) -> list[Any] | None:
        wires = range(circuit.qubits)
        if circuit.amplitudes:
            given = inputs[..., : circuit.amplitudes]
            pennylane.AmplitudeEmbedding(given, wires=wires, pad_with=0.0, normalize=True)
        for place, gate in enumerate(circuit.gates):
            if place in barriers:
                pennylane.Barrier(wires=wires)
            angles = [bound(gate, inputs, parameters)] if GATES[gate.name].has_angle else []
            make[gate.name](*angles, wires=gate.wires)
        if not measured:
            return None
        if circuit.observables is None:
            return [pennylane.probs(wires=wires)]
        return [
            pennylane.expval(pennylane.pauli.string_to_pauli_word(letters, {i: i for i in wires}))
            for letters in circuit.observables
        ]

    return quantum_function
