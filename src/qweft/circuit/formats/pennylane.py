"""PennyLane's quantum functions.

Its RY and CRZ are ours, and its wire 0 is the most significant bit, as ours.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from qweft.circuit.description import Circuit
from qweft.circuit.formats.angles import Gates
from qweft.extras import require

NEEDS = "a PennyLane function"


def to_pennylane(circuit: Circuit) -> Callable[[Any, Any], list[Any]]:
    """The circuit as a quantum function of (inputs, parameters) that returns `expval(Z)` of every qubit.

        qml.QNode(to_pennylane(circuit), qml.device("default.qubit", wires=circuit.qubits))(inputs, parameters)
        qml.tape.make_qscript(to_pennylane(circuit))(inputs, parameters)

    Inputs are (circuit.inputs,), or (tokens, circuit.inputs) where the device broadcasts; parameters
    (circuit.parameters,); both in radians, of any type that PennyLane differentiates.

    Args:
        circuit: The circuit.

    Raises:
        QweftError: If PennyLane is not installed.
    """
    qml = require("pennylane", "pennylane", NEEDS)

    def function(inputs: Any, parameters: Any) -> list[Any]:
        for gate in circuit.gates:
            angle = inputs[..., gate.index] if gate.source == "input" else parameters[gate.index]
            _apply(qml, gate.name, gate.wires, angle)
        return [qml.expval(qml.PauliZ(wire)) for wire in range(circuit.qubits)]

    return function


def apply_gates(qubits: int, gates: Gates, angles: Sequence[Any], barriers: Collection[int] = ()) -> None:
    """Queue gates inside of a quantum function.

    Args:
        qubits: n.
        gates: The gates.
        angles: For each of them a number, or (circuits,) numbers where the device broadcasts, in radians.
        barriers: Numbers of gates that a barrier over all qubits stands before.

    Raises:
        QweftError: If PennyLane is not installed.
    """
    qml = require("pennylane", "pennylane", NEEDS)
    for place, ((name, wires), angle) in enumerate(zip(gates, angles, strict=True)):
        if place in barriers:
            qml.Barrier(wires=range(qubits))
        _apply(qml, name, wires, angle)


def _apply(qml: Any, name: str, wires: tuple[int, ...], angle: Any) -> None:
    {"ry": qml.RY, "crz": qml.CRZ}[name](angle, wires=wires)
