"""OriginIR, the text that Origin's tools and cloud read; it has no open parameters.

A CRZ is an RZ inside of a CONTROL block, which is ours: with the control at 0 nothing turns. The language knows no
comments that all readers take, so none says here that q[i] is our qubit i.

Source: https://pyqpanda-toturial.readthedocs.io/zh/latest/QProgToOriginIR.html
"""

from qweft.circuit.description import Circuit
from qweft.circuit.formats.angles import Numbers, gate_angles


def to_originir(circuit: Circuit, inputs: Numbers, parameters: Numbers, measured: bool = True) -> str:
    """The circuit of one token as OriginIR, with every digit of float64.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), the token's data in radians.
        parameters: (circuit.parameters,), the trained angles in radians.
        measured: Measure qubit i into classical bit i at the end.
    """
    lines = [f"QINIT {circuit.qubits}", f"CREG {circuit.qubits}"]
    for gate, angle in zip(circuit.gates, gate_angles(circuit, inputs, parameters), strict=True):
        turned = gate.wires[-1]
        line = f"{'RY' if gate.name == 'ry' else 'RZ'} q[{turned}],({angle!r})"
        lines += [line] if gate.name == "ry" else [f"CONTROL q[{gate.wires[0]}]", line, "ENDCONTROL"]
    lines += [f"MEASURE q[{i}],c[{i}]" for i in range(circuit.qubits)] if measured else []
    return "\n".join(lines) + "\n"
