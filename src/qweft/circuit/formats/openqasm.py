"""OpenQASM 2, which most tools read, and OpenQASM 3, which can leave angles open."""

from qweft.circuit.description import Circuit
from qweft.circuit.formats.common import Format, Numbers, given_numbers, heading, numbers_of_gates, texts_of_gates
from qweft.circuit.gates import GATES, spelled


def to_openqasm2(
    circuit: Circuit,
    inputs: Numbers | None = None,
    parameters: Numbers | None = None,
    measured: bool = True,
    about: str = "",
) -> str:
    """Return the circuit of one token in OpenQASM 2.0, in the gates of qelib1.inc.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians.
        parameters: (circuit.parameters,), in radians.
        measured: Whether every q[i] is measured into b[i] at the end.
        about: Origin of the circuit, as a line of the heading.

    Raises:
        QweftError: If numbers are missing, do not fit the circuit, or are not finite.

    Source: Cross, Bishop, Smolin and Gambetta, "Open Quantum Assembly Language", arXiv 1707.03429.
    """
    n = circuit.qubits
    lines = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"qreg q[{n}];"]
    if measured:
        lines.append(f"creg b[{n}];")
    for gate, angle in zip(circuit.gates, numbers_of_gates(circuit, inputs, parameters, "OpenQASM 2"), strict=True):
        lines.append(spelled(GATES[gate.name].openqasm2, gate.wires, angle))
    if measured:
        lines.append("measure q -> b;")
    return heading(circuit, about) + "\n".join(lines) + "\n"


def to_openqasm3(
    circuit: Circuit,
    inputs: Numbers | None = None,
    parameters: Numbers | None = None,
    measured: bool = True,
    about: str = "",
) -> str:
    """Return the circuit in OpenQASM 3.0, in the gates of stdgates.inc.

    Missing numbers become inputs of the program: c0, c1, ... for the circuit's inputs, t0, t1, ... for its trained
    angles. They have type float[64] because an angle is stored modulo 2 pi, while a CRZ has period 4 pi.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians. `None` leaves them open.
        parameters: (circuit.parameters,), in radians. `None` leaves them open.
        measured: Whether every q[i] is measured into b[i] at the end.
        about: Origin of the circuit, as a line of the heading.

    Raises:
        QweftError: If numbers do not fit the circuit, or are not finite.

    Source: the OpenQASM 3.0 specification, openqasm.com.
    """
    rows = given_numbers(circuit, inputs, parameters)
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    sources = (("c", circuit.inputs, "the circuit's inputs"), ("t", circuit.parameters, "its trained angles"))
    for row, (letter, count, what) in zip(rows, sources, strict=True):
        if row is None:
            lines.append(f"// {what}")
            lines += [f"input float[64] {letter}{index};" for index in range(count)]
    lines.append(f"qubit[{circuit.qubits}] q;")
    if measured:
        lines.append(f"bit[{circuit.qubits}] b;")
    for gate, angle in zip(circuit.gates, texts_of_gates(circuit, *rows), strict=True):
        kind = GATES[gate.name]
        lines.append(spelled(kind.openqasm3 or kind.openqasm2, gate.wires, angle))
    if measured:
        lines.append("b = measure q;")
    return heading(circuit, about) + "\n".join(lines) + "\n"


QASM2 = Format(to_openqasm2, "qasm")
QASM3 = Format(to_openqasm3, "qasm", can_stay_open=True)
