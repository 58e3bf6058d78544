"""What stands at the head of every text: what it is, and how to read its qubits."""

from qweft import __version__
from qweft.circuit.description import Circuit


def heading(circuit: Circuit) -> str:
    """Comment lines, each with its newline, in the form that OpenQASM and OriginIR share."""
    return (
        f"// A quantum circuit written by qweft {__version__}. Qubits: {circuit.qubits}, gates: {len(circuit.gates)}.\n"
        "// All qubits start in |0>; the output z_i is the expectation of Z on q[i]. Angles are in radians.\n"
        "// q[0] is the most significant bit of the number of a basis state.\n"
    )
