"""What stands at the head of every text: what it is, and how to read its qubits."""

from importlib.metadata import PackageNotFoundError, version

from qweft.circuit.description import Circuit


def heading(circuit: Circuit, about: str = "") -> str:
    """Comment lines, each with its newline, in the form that OpenQASM and OriginIR share.

    Args:
        circuit: The circuit.
        about: Where it is from, as a line of its own.
    """
    # a comment ends with its line, and names of folders and tokens may hold what ends one
    line = "".join(letter if letter.isprintable() else " " for letter in about)
    return (
        f"// A quantum circuit written by qweft{_version()}. Qubits: {circuit.qubits}, gates: {len(circuit.gates)}.\n"
        "// All qubits start in |0>; the output z_i is the expectation of Z on q[i]. Angles are in radians.\n"
        "// q[0] is the most significant bit of the number of a basis state.\n" + (f"// {line}\n" if line else "")
    )


def _version() -> str:
    """The version of this package, after a space; empty where it runs without being installed."""
    try:
        return f" {version('qweft')}"
    except PackageNotFoundError:
        return ""
