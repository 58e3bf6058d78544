"""Gates with numbers, as devices send them: to Qiskit, PennyLane and pyqpanda3."""

import numpy as np
import pytest
import torch

from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.circuit.formats import origin, pennylane, qiskit
from tests.circuit.formats import readers

CIRCUIT = crz_ring_ansatz(3, 2)
FORM = [(gate.name, gate.wires) for gate in CIRCUIT.gates]


@pytest.fixture
def case():
    """Inputs, parameters, each gate's angle, and what is right."""
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, dtype=torch.float64, generator=draws)
    parameters = torch.randn(CIRCUIT.parameters, dtype=torch.float64, generator=draws)
    angles = [float((inputs if gate.source == "input" else parameters)[gate.index]) for gate in CIRCUIT.gates]
    return angles, expectation_values(CIRCUIT, inputs[None], parameters)[0].numpy()


def test_qiskit(case):
    pytest.importorskip("qiskit")
    made = qiskit.template(3, FORM, barriers=(0, 4))
    assert [item.operation.params[0].name for item in made.data if item.operation.params] == [
        f"angle[{place}]" for place in range(len(FORM))
    ]
    values = readers.by_qiskit(made.assign_parameters(case[0]))
    np.testing.assert_allclose(values, case[1], rtol=0, atol=1e-9)


def test_pennylane(case):
    qml = pytest.importorskip("pennylane")

    @qml.qnode(qml.device("default.qubit", wires=3))
    def values():
        pennylane.apply_gates(3, FORM, case[0], (0, 4))
        return [qml.expval(qml.PauliZ(wire)) for wire in range(3)]

    np.testing.assert_allclose(values(), case[1], rtol=0, atol=1e-9)


def test_origin(case):
    pytest.importorskip("pyqpanda3")
    values = readers.by_origin(origin.program(3, FORM, case[0], (0, 4), measured=False), 3)
    np.testing.assert_allclose(values, case[1], rtol=0, atol=1e-9)


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
