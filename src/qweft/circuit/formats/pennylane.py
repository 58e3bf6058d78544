"""A circuit as PennyLane's quantum function."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from qweft.circuit.description import Circuit
from qweft.circuit.formats.common import Gates, Numbers, bound, given_numbers
from qweft.circuit.gates import GATES
from qweft.errors import QweftError, require


def to_pennylane(
    circuit: Circuit, inputs: Numbers | None = None, parameters: Numbers | None = None, measured: bool = True
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

    Raises:
        QweftError: If PennyLane is not installed, or numbers do not fit the circuit or are not finite. The function
            itself raises it if it is called without numbers and has no defaults.
    """
    pennylane = require("pennylane", "pennylane", "a PennyLane function")
    make = {gate.name: getattr(pennylane, GATES[gate.name].pennylane) for gate in circuit.gates}
    c, t = given_numbers(circuit, inputs, parameters)

    def quantum_function(inputs: Any = c, parameters: Any = t) -> list[Any] | None:
        sources = (("inputs", inputs, circuit.inputs), ("parameters", parameters, circuit.parameters))
        for name, row, length in sources:
            if row is None:
                raise QweftError(f"the circuit has no {name}; call the function with {name}=..., or make it with them")
            if pennylane.math.shape(row)[-1:] != (length,):
                raise QweftError(
                    f"{name} are of shape {pennylane.math.shape(row)}, and the circuit takes {length} numbers"
                )
        wires = range(circuit.qubits)
        if circuit.amplitudes:
            given = inputs[..., : circuit.amplitudes]
            pennylane.AmplitudeEmbedding(given, wires=wires, pad_with=0.0, normalize=True)
        for gate in circuit.gates:
            _queue(make[gate.name], gate.name, gate.wires, bound(gate, inputs, parameters))
        if not measured:
            return None
        if circuit.observables is None:
            return [pennylane.probs(wires=wires)]
        return [
            pennylane.expval(pennylane.pauli.string_to_pauli_word(letters, {i: i for i in wires}))
            for letters in circuit.observables
        ]

    return quantum_function


def apply_gates(qubits: int, gates: Gates, angles: Sequence[Any], barriers: Collection[int] = ()) -> None:
    """Queue gates in a quantum function; angles may be (circuits,) numbers; barriers precede the gates `barriers`."""
    pennylane = require("pennylane", "pennylane", "a PennyLane function")
    make = {name: getattr(pennylane, GATES[name].pennylane) for name, _ in gates}
    for place, ((name, wires), angle) in enumerate(zip(gates, angles, strict=True)):
        if place in barriers:
            pennylane.Barrier(wires=range(qubits))
        _queue(make[name], name, wires, angle)


def _queue(make: Callable[..., Any], name: str, wires: tuple[int, ...], angle: Any) -> None:
    GATES[name].called(lambda *rest: make(*rest[: GATES[name].has_angle], wires=wires), wires, angle)
