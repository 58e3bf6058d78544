"""OpenQASM 3.

`ry` and `crz` of its standard library are ours. What is not given is an `input float`, one for each entry of the input
(c0, c1, ...) and each trained angle (t0, t1, ...).

Source: https://openqasm.com/versions/3.0/language/standard_library.html
"""

from qweft.circuit.description import Circuit
from qweft.circuit.formats.angles import Numbers, gate_angles, open_names

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
ORDER = "// q[i] is qubit i; the method's output z_i is the expectation of Z on q[i]. q[0] is the most significant bit."


def to_qasm3(
    circuit: Circuit, inputs: Numbers | None = None, parameters: Numbers | None = None, measured: bool = True
) -> str:
    """The circuit as OpenQASM 3, with every digit of float64.

    Args:
        circuit: The circuit.
        inputs: (circuit.inputs,), one token's data in radians; none leaves them open.
        parameters: (circuit.parameters,), the trained angles in radians; none leaves them open.
        measured: Measure qubit i into classical bit i at the end.
    """
    angles = gate_angles(circuit, inputs, parameters)
    lines = [ORDER]
    lines += [f"input float[64] {name};" for name in open_names(circuit, inputs, parameters)]
    lines += [f"qubit[{circuit.qubits}] q;"] + ([f"bit[{circuit.qubits}] b;"] if measured else [])
    lines += gate_lines(circuit, angles)
    lines += [f"b[{i}] = measure q[{i}];" for i in range(circuit.qubits)] if measured else []
    return HEADER + "\n".join(lines) + "\n"


def gate_lines(circuit: Circuit, angles: list[float | str]) -> list[str]:
    """A line for each gate, the same in OpenQASM 2 and 3."""
    lines = []
    for gate, angle in zip(circuit.gates, angles, strict=True):
        text = angle if isinstance(angle, str) else repr(angle)
        lines.append(f"{gate.name}({text}) {', '.join(f'q[{wire}]' for wire in gate.wires)};")
    return lines
