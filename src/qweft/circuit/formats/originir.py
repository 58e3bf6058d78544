"""OriginIR: the text of Origin's QPanda."""

from qweft.circuit.description import Circuit
from qweft.circuit.formats.angles import Numbers, numbers_of_gates
from qweft.circuit.formats.heading import heading
from qweft.circuit.gates import GATES, spelled


def to_originir(
    circuit: Circuit,
    inputs: Numbers | None = None,
    parameters: Numbers | None = None,
    measured: bool = True,
    about: str = "",
) -> str:
    """The circuit of one token in OriginIR.

    A CRZ is an RZ between CONTROL and ENDCONTROL, as pyqpanda3 writes it. OriginIR's own CR is another gate,
    diag(1, 1, 1, exp(i t)).

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), in radians.
        parameters: (circuit.parameters,), in radians.
        measured: Whether every q[i] is measured into c[i] at the end.
        about: A line of the heading that says where the circuit is from.

    Raises:
        QweftError: If numbers are missing, do not fit the circuit, or are not finite.

    Source: what pyqpanda3 0.5.1 writes and reads; that its gates are ours was found by running them.
    """
    n = circuit.qubits
    lines = [f"QINIT {n}", f"CREG {n}"]
    for gate, angle in zip(circuit.gates, numbers_of_gates(circuit, inputs, parameters, "OriginIR"), strict=True):
        lines.append(spelled(GATES[gate.name].originir, gate.wires, angle))
    if measured:
        lines += [f"MEASURE q[{wire}],c[{wire}]" for wire in range(n)]
    return heading(circuit, about) + "\n".join(lines) + "\n"
