"""OpenQASM 2: the text that most simulators and compilers read."""

from qweft.circuit.description import Circuit
from qweft.circuit.formats.angles import Numbers, numbers_of_gates
from qweft.circuit.formats.heading import heading
from qweft.circuit.gates import GATES, spelled


def to_openqasm2(
    circuit: Circuit,
    inputs: Numbers | None = None,
    parameters: Numbers | None = None,
    measured: bool = True,
    about: str = "",
) -> str:
    """The circuit of one token in OpenQASM 2.0, its gates those of qelib1.inc.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians.
        parameters: (circuit.parameters,), in radians.
        measured: Whether every q[i] is measured into b[i] at the end.
        about: A line of the heading that says where the circuit is from.

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
