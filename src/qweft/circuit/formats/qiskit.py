"""Qiskit's circuits.

Its `ry` and `crz` are ours. Its outcomes are written with qubit 0 last.
"""

from collections.abc import Collection, Sequence
from typing import Any

from qweft.circuit.description import Circuit
from qweft.circuit.formats.angles import Gates, Numbers, gate_angles, gates_of
from qweft.extras import require

NEEDS = "a Qiskit circuit"


def to_qiskit(
    circuit: Circuit, inputs: Numbers | None = None, parameters: Numbers | None = None, measured: bool = False
) -> Any:
    """The circuit as a `qiskit.QuantumCircuit`; what is not given stays open, as ParameterVector "c" or "t".

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), one token's data in radians.
        parameters: (circuit.parameters,), the trained angles in radians.
        measured: Measure qubit i into classical bit i at the end.

    Raises:
        QweftError: If Qiskit is not installed.
    """
    vector = require("qiskit.circuit", "qiskit", NEEDS).ParameterVector
    entries = {f"c{i}": entry for i, entry in enumerate(vector("c", circuit.inputs))}
    entries |= {f"t{i}": entry for i, entry in enumerate(vector("t", circuit.parameters))}
    angles = gate_angles(circuit, inputs, parameters)
    found = _placed(
        circuit.qubits, gates_of(circuit), [entries[a] if isinstance(a, str) else a for a in angles], measured=measured
    )
    return found


def template(qubits: int, gates: Gates, barriers: Collection[int] = (), measured: bool = False) -> Any:
    """Gates as a `qiskit.QuantumCircuit` with a parameter of its own for each, angle[0], angle[1], ... in their order.

    `template.assign_parameters(row)` takes the angles of one circuit, as long as the gates.

    Args:
        qubits: n.
        gates: The gates.
        barriers: Numbers of gates that a barrier over all qubits stands before.
        measured: Measure qubit i into classical bit i at the end.

    Raises:
        QweftError: If Qiskit is not installed.
    """
    vector = require("qiskit.circuit", "qiskit", NEEDS).ParameterVector
    return _placed(qubits, gates, list(vector("angle", len(gates))), barriers, measured)


def _placed(
    qubits: int, gates: Gates, angles: Sequence[Any], barriers: Collection[int] = (), measured: bool = False
) -> Any:
    """The gates with such angles."""
    made = require("qiskit", "qiskit", NEEDS).QuantumCircuit(qubits, qubits if measured else 0)
    for place, ((name, wires), angle) in enumerate(zip(gates, angles, strict=True)):
        if place in barriers:
            made.barrier()
        getattr(made, name)(angle, *wires)
    if measured:
        made.measure(range(qubits), range(qubits))
    return made
