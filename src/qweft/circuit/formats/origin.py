"""Origin's programs (pyqpanda3).

Its RY and CRZ are ours. Its outcomes are written with qubit 0 last.
"""

from collections.abc import Collection, Sequence
from typing import Any

from qweft.circuit.description import Circuit
from qweft.circuit.formats.angles import Gates, Numbers, gate_angles, gates_of
from qweft.extras import require

NEEDS = "an Origin program"


def to_origin(circuit: Circuit, inputs: Numbers, parameters: Numbers, measured: bool = True) -> Any:
    """The circuit of one token as a `pyqpanda3.core.QProg`.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), the token's data in radians.
        parameters: (circuit.parameters,), the trained angles in radians.
        measured: Measure qubit i into classical bit i at the end.

    Raises:
        QweftError: If pyqpanda3 is not installed.
    """
    angles = [float(angle) for angle in gate_angles(circuit, inputs, parameters)]
    return program(circuit.qubits, gates_of(circuit), angles, measured=measured)


def program(
    qubits: int, gates: Gates, angles: Sequence[float], barriers: Collection[int] = (), measured: bool = True
) -> Any:
    """Gates with such angles as a `pyqpanda3.core.QProg`; it has no open parameters.

    Args:
        qubits: n.
        gates: The gates.
        angles: One for each of them, in radians.
        barriers: Numbers of gates that a barrier over all qubits stands before.
        measured: Measure qubit i into classical bit i at the end.

    Raises:
        QweftError: If pyqpanda3 is not installed.
    """
    core = require("pyqpanda3.core", "origin", NEEDS)
    make = {"ry": core.RY, "crz": core.CRZ}
    made = core.QProg(qubits)
    for place, ((name, wires), angle) in enumerate(zip(gates, angles, strict=True)):
        if place in barriers:
            made << core.BARRIER(list(range(qubits)))
        made << make[name](*wires, float(angle))
    if measured:
        made << core.measure(list(range(qubits)), list(range(qubits)))
    return made
