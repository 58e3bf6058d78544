"""OpenQASM 2, which has no open parameters.

`ry` and `crz` of qelib1.inc are ours, up to a phase that is the same for all states.

Source: arXiv 1707.03429.
"""

from qweft.circuit.description import Circuit
from qweft.circuit.formats.angles import Numbers, gate_angles
from qweft.circuit.formats.qasm3 import ORDER, gate_lines

HEADER = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'


def to_qasm2(circuit: Circuit, inputs: Numbers, parameters: Numbers, measured: bool = True) -> str:
    """The circuit of one token as OpenQASM 2, with every digit of float64.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), the token's data in radians.
        parameters: (circuit.parameters,), the trained angles in radians.
        measured: Measure qubit i into classical bit i at the end.
    """
    lines = [ORDER, f"qreg q[{circuit.qubits}];"] + ([f"creg b[{circuit.qubits}];"] if measured else [])
    lines += gate_lines(circuit, gate_angles(circuit, inputs, parameters))
    lines += [f"measure q[{i}] -> b[{i}];" for i in range(circuit.qubits)] if measured else []
    return HEADER + "\n".join(lines) + "\n"
