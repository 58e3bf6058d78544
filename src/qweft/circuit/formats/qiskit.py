"""A circuit as Qiskit's object."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from qweft.circuit.description import Circuit
from qweft.circuit.formats.common import Numbers, given_numbers
from qweft.circuit.gates import GATES
from qweft.core.errors import QweftError, require

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


def to_qiskit(
    circuit: Circuit,
    inputs: Numbers | None = None,
    parameters: Numbers | None = None,
    measured: bool = True,
    barriers: Collection[int] = (),
) -> "QuantumCircuit":
    """Return a QuantumCircuit with the same qubits; in Qiskit qubit i is the bit of weight 2^i of a basis state.

    Missing numbers stay open: a ParameterVector c for the circuit's inputs, t for its trained angles.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians. `None` leaves them open.
        parameters: (circuit.parameters,), in radians. `None` leaves them open.
        measured: Whether every qubit i is measured into bit i of a register b at the end: for samplers, not for
            estimators and state vectors.
        barriers: Numbers of gates that a barrier precedes, across which a compiler takes nothing together.

    Raises:
        QweftError: If Qiskit is not installed, or numbers do not fit the circuit or are not finite.
    """
    qiskit = require("qiskit", "qiskit", "a Qiskit circuit")
    c, t = given_numbers(circuit, inputs, parameters)
    of_input = qiskit.circuit.ParameterVector("c", circuit.inputs) if c is None else c.tolist()
    trained = qiskit.circuit.ParameterVector("t", circuit.parameters) if t is None else t.tolist()
    found = qiskit.QuantumCircuit(circuit.qubits)
    if circuit.amplitudes:
        if c is None:
            raise QweftError("the circuit starts from amplitudes, so it needs numbers for its inputs")
        start = np.zeros(2**circuit.qubits)
        start[: circuit.amplitudes] = c[: circuit.amplitudes] / np.linalg.norm(c[: circuit.amplitudes])
        found.initialize(start, found.qubits[::-1])  # Qiskit's first qubit is the least significant bit
    for place, gate in enumerate(circuit.gates):
        if place in barriers:
            found.barrier()
        row, kind = {"input": of_input, "parameter": trained, "constant": [1.0]}[gate.source], GATES[gate.name]
        angles = [gate.scale * row[gate.index]] if kind.has_angle else []
        getattr(found, kind.method)(*angles, *gate.wires)
    if measured:
        bits = qiskit.ClassicalRegister(circuit.qubits, "b")
        found.add_register(bits)
        found.measure(found.qubits, bits)
    return found
