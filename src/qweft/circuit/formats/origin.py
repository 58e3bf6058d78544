"""Origin's formats: OriginIR as text, and a program of pyqpanda3."""

from collections.abc import Collection, Sequence
from typing import Any

from qweft.circuit.description import Circuit
from qweft.circuit.formats.common import Gates, Numbers, gate_lines, text_of
from qweft.circuit.gates import GATES
from qweft.core.errors import require


def to_originir(
    circuit: Circuit, inputs: Numbers | None = None, parameters: Numbers | None = None, measured: bool = True
) -> str:
    """Return the circuit of one token in OriginIR; arguments as in `to_openqasm3`.

    Both rows of numbers are needed. Every q[i] is measured into c[i]. A CRZ is an RZ between CONTROL and ENDCONTROL, as
    pyqpanda3 writes it: OriginIR's own CR is another gate, diag(1, 1, 1, exp(i t)).

    Source: what pyqpanda3 0.5.1 writes and reads; that its gates equal ours was checked by running them.
    """
    lines = [f"QINIT {circuit.qubits}", f"CREG {circuit.qubits}"]
    lines += gate_lines("originir", circuit, inputs, parameters, "OriginIR")
    lines += [f"MEASURE q[{wire}],c[{wire}]" for wire in range(circuit.qubits)] if measured else []
    return text_of(circuit, lines)


def program(
    qubits: int, gates: Gates, angles: Sequence[float], barriers: Collection[int] = (), measured: bool = True
) -> Any:
    """Return gates with angles in radians as a `pyqpanda3.core.QProg`; `barriers` has the gates that one precedes."""
    # outcomes have qubit 0 last
    core = require("pyqpanda3.core", "origin", "an Origin program")
    made, wires_of_all = core.QProg(qubits), list(range(qubits))
    for place, ((name, wires), angle) in enumerate(zip(gates, angles, strict=True)):
        if place in barriers:
            made << core.BARRIER(wires_of_all)
        make = getattr(core, name.upper())
        made << (make(*wires, float(angle)) if GATES[name].has_angle else make(*wires))
    if measured:
        made << core.measure(wires_of_all, wires_of_all)
    return made
