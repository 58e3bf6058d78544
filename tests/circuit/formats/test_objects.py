"""Objects of Qiskit, PennyLane and pyqpanda3, simulated there."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.circuit.formats.circuits import ANSATZES, circuits, exact, numbers, origin_values, qiskit_values

from qweft.circuit import crz_ring_ansatz
from qweft.circuit.formats import origin, pennylane, qiskit, to_origin, to_pennylane, to_qiskit
from qweft.circuit.formats.angles import gate_angles, gates_of
from qweft.errors import QweftError


def by_qiskit(circuit, *given_numbers):
    return qiskit_values(to_qiskit(circuit, *given_numbers, measured=True))


def by_qiskit_parameters(circuit, inputs, parameters):
    made = to_qiskit(circuit)
    known = {f"c[{i}]": v for i, v in enumerate(inputs)} | {f"t[{i}]": v for i, v in enumerate(parameters)}
    return qiskit_values(made.assign_parameters({p: known[p.name] for p in made.parameters}))


def by_qiskit_template(circuit, *given_numbers):
    made = qiskit.template(circuit.qubits, gates_of(circuit), barriers=(0, 1))
    return qiskit_values(made.assign_parameters(gate_angles(circuit, *given_numbers)))


def by_pennylane(circuit, *given_numbers):
    import pennylane as qml

    return np.array(qml.QNode(to_pennylane(circuit), qml.device("default.qubit", circuit.qubits))(*given_numbers))


def by_pennylane_gates(circuit, *given_numbers):
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=circuit.qubits))
    def values():
        pennylane.apply_gates(circuit.qubits, gates_of(circuit), gate_angles(circuit, *given_numbers), (0, 1))
        return [qml.expval(qml.PauliZ(i)) for i in range(circuit.qubits)]

    return np.array(values())


def by_origin(circuit, *given_numbers):
    return origin_values(to_origin(circuit, *given_numbers, measured=False))


MAKERS = [by_qiskit, by_qiskit_parameters, by_qiskit_template, by_pennylane, by_pennylane_gates, by_origin]


@pytest.mark.parametrize("simulate", MAKERS)
@pytest.mark.parametrize("circuit", ANSATZES, ids=lambda c: f"{c.qubits}-{len(c.gates)}")
def test_ansatz_simulated_elsewhere(simulate, circuit):
    given_numbers = numbers(circuit, circuit.qubits)
    np.testing.assert_allclose(simulate(circuit, *given_numbers), exact(circuit, *given_numbers), atol=1e-9, rtol=0)


@pytest.mark.parametrize("simulate", MAKERS)
@given(circuit=circuits(), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_any_circuit_simulated_elsewhere(simulate, circuit, seed):
    given_numbers = numbers(circuit, seed)
    np.testing.assert_allclose(simulate(circuit, *given_numbers), exact(circuit, *given_numbers), atol=1e-9, rtol=0)


def test_pennylane_takes_many_tokens_at_once():
    import pennylane as qml

    circuit = crz_ring_ansatz(3, 2)
    inputs, parameters = np.random.default_rng(0).normal(size=(5, 3)), numbers(circuit, 0)[1]
    node = qml.QNode(to_pennylane(circuit), qml.device("default.qubit", wires=3))
    values = np.array(node(inputs, parameters)).T
    np.testing.assert_allclose(values, [exact(circuit, row, parameters) for row in inputs], atol=1e-9)


def test_a_template_has_a_parameter_for_each_gate_in_their_order():
    circuit = crz_ring_ansatz(3, 4)
    made = qiskit.template(3, gates_of(circuit))
    assert [p.name for p in made.parameters] == [f"angle[{i}]" for i in range(len(circuit.gates))]
    assert [i.operation.params[0].name for i in made.data] == [f"angle[{i}]" for i in range(len(circuit.gates))]


GATES = [("ry", (0,)), ("crz", (0, 1)), ("crz", (0, 1)), ("ry", (0,))]
UNDONE = [0.3, 0.7, -0.7, -0.3]


def test_qiskit_does_not_cancel_across_a_barrier():
    from qiskit import transpile

    free = qiskit.template(2, GATES).assign_parameters(UNDONE)
    kept = qiskit.template(2, GATES, barriers=[2]).assign_parameters(UNDONE)
    gates = [transpile(c, basis_gates=["ry", "rz", "cx"], optimization_level=3).size() for c in (free, kept)]
    assert gates[0] == 0 and gates[1] >= 8


def test_pennylane_does_not_cancel_across_a_barrier():
    import pennylane as qml

    def left(barriers):
        tape = qml.tape.make_qscript(pennylane.apply_gates)(2, GATES, UNDONE, barriers)
        (merged,), _ = qml.transforms.merge_rotations(tape)
        return [operation.name for operation in merged.operations]

    assert left([]) == []
    assert left([2]) == ["RY", "CRZ", "Barrier", "CRZ", "RY"]


def test_origin_puts_the_barrier_between():
    from pyqpanda3.intermediate_compiler import convert_qprog_to_originir as write

    text = write(origin.program(2, GATES, UNDONE, barriers=[2], measured=False))
    assert [line.split()[0] for line in text.split("\n") if line][2:] == [
        *["RY", "CONTROL", "RZ", "ENDCONTROL", "BARRIER", "CONTROL", "RZ", "ENDCONTROL", "RY"]
    ]


@pytest.mark.parametrize(
    ("module", "extra", "make"),
    [
        ("qiskit", "qiskit", lambda c: to_qiskit(c)),
        ("pennylane", "pennylane", lambda c: to_pennylane(c)),
        ("pyqpanda3", "origin", lambda c: to_origin(c, [0.0] * 2, [0.0] * 8)),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, extra, make):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(QweftError, match=rf"needs the package {module}; pip install 'qweft\[{extra}\]'"):
        make(crz_ring_ansatz(2, 1))
