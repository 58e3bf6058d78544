"""Gates as a program of Origin's pyqpanda3, which has no open parameters."""

from collections.abc import Collection, Sequence
from typing import Any

from qweft.circuit.formats.angles import Gates
from qweft.circuit.gates import GATES
from qweft.extras import require


def program(
    qubits: int, gates: Gates, angles: Sequence[float], barriers: Collection[int] = (), measured: bool = True
) -> Any:
    """Gates with such angles as a `pyqpanda3.core.QProg`, which writes outcomes with qubit 0 last.

    Args:
        qubits: n.
        gates: The gates.
        angles: One for each of them, in radians.
        barriers: Numbers of gates that a barrier over all qubits stands before.
        measured: Measure qubit i into classical bit i at the end.

    Raises:
        QweftError: If pyqpanda3 is not installed.
    """
    core = require("pyqpanda3.core", "origin", "an Origin program")
    make = {name: getattr(core, GATES[name].pyqpanda3) for name, _ in gates}
    made = core.QProg(qubits)
    for place, ((name, wires), angle) in enumerate(zip(gates, angles, strict=True)):
        if place in barriers:
            made << core.BARRIER(list(range(qubits)))
        made << make[name](*wires, float(angle))
    if measured:
        made << core.measure(list(range(qubits)), list(range(qubits)))
    return made
