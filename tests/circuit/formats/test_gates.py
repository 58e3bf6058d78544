"""Gates with numbers, as devices send them: to Qiskit, PennyLane and pyqpanda3."""

import pytest

from qweft.circuit.formats import origin, pennylane, qiskit

GATES = [("ry", (0,)), ("crz", (0, 1)), ("crz", (0, 1)), ("ry", (0,))]
UNDONE = [0.3, 0.7, -0.7, -0.3]


def test_qiskit_does_not_cancel_across_a_barrier():
    pytest.importorskip("qiskit")
    from qiskit import transpile

    free = qiskit.template(2, GATES).assign_parameters(UNDONE)
    kept = qiskit.template(2, GATES, barriers=[2]).assign_parameters(UNDONE)
    gates = [transpile(c, basis_gates=["ry", "rz", "cx"], optimization_level=3).size() for c in (free, kept)]
    assert gates[0] == 0 and gates[1] >= 8


def test_pennylane_does_not_cancel_across_a_barrier():
    qml = pytest.importorskip("pennylane")

    def left(barriers):
        tape = qml.tape.make_qscript(pennylane.apply_gates)(2, GATES, UNDONE, barriers)
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
