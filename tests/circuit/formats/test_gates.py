"""Gates with numbers, as devices send them: to Qiskit, PennyLane and pyqpanda3."""

import pytest

from qweft.circuit.description import c, circuit_of
from qweft.circuit.formats import origin, to_pennylane, to_qiskit

GATES = [("ry", (0,)), ("crz", (0, 1)), ("crz", (0, 1)), ("ry", (0,))]
UNDONE = [0.3, 0.7, -0.7, -0.3]
CIRCUIT = circuit_of(2, *[(name, *wires, c(place)) for place, (name, wires) in enumerate(GATES)])


def test_qiskit_does_not_cancel_across_a_barrier():
    pytest.importorskip("qiskit")
    from qiskit import transpile

    both = (to_qiskit(CIRCUIT, UNDONE, measured=False, barriers=barriers) for barriers in ([], [2]))
    gates = [transpile(each, basis_gates=["ry", "rz", "cx"], optimization_level=3).size() for each in both]
    assert gates[0] == 0 and gates[1] >= 8


def test_pennylane_does_not_cancel_across_a_barrier():
    qml = pytest.importorskip("pennylane")

    def left(barriers):
        tape = qml.tape.make_qscript(to_pennylane(CIRCUIT, UNDONE, measured=False, barriers=barriers))()
        (merged,), _ = qml.transforms.merge_rotations(tape)
        return [operation.name for operation in merged.operations]

    assert "CRZ" not in left([])
    assert left([2]) == ["RY", "CRZ", "Barrier", "CRZ", "RY"]


def test_origin_puts_the_barrier_between():
    pytest.importorskip("pyqpanda3")
    from pyqpanda3.intermediate_compiler import convert_qprog_to_originir as write

    text = write(origin.program(2, GATES, UNDONE, barriers=[2], measured=False))
    assert [line.split()[0] for line in text.split("\n") if line][2:] == [
        *["RY", "CONTROL", "RZ", "ENDCONTROL", "BARRIER", "CONTROL", "RZ", "ENDCONTROL", "RY"]
    ]
