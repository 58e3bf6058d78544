"""OpenQASM and OriginIR, read back by other programs and simulated there."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.circuit.formats.circuits import ANSATZES, circuits, exact, numbers, origin_values, qiskit_values

from qweft.circuit import crz_ring_ansatz
from qweft.circuit.formats import to_originir, to_qasm2, to_qasm3

SOME = settings(max_examples=15, deadline=None)


def by_qiskit2(circuit, *given_numbers):
    import qiskit.qasm2

    return qiskit_values(qiskit.qasm2.loads(to_qasm2(circuit, *given_numbers)))


def by_qiskit3(circuit, *given_numbers):
    import qiskit.qasm3

    return qiskit_values(qiskit.qasm3.loads(to_qasm3(circuit, *given_numbers)))


def by_qiskit3_parameters(circuit, inputs, parameters):
    import qiskit.qasm3

    read = qiskit.qasm3.loads(to_qasm3(circuit))
    known = {f"c{i}": v for i, v in enumerate(inputs)} | {f"t{i}": v for i, v in enumerate(parameters)}
    return qiskit_values(read.assign_parameters({p: known[p.name] for p in read.parameters}))


def by_pennylane2(circuit, *given_numbers):
    import pennylane as qml

    function = qml.from_qasm(to_qasm2(circuit, *given_numbers, measured=False))

    @qml.qnode(qml.device("default.qubit", wires=circuit.qubits))
    def values():
        function(wires=range(circuit.qubits))
        return [qml.expval(qml.PauliZ(i)) for i in range(circuit.qubits)]

    return np.array(values())


def by_origin(circuit, *given_numbers):
    from pyqpanda3.intermediate_compiler import convert_originir_string_to_qprog as read

    return origin_values(read(to_originir(circuit, *given_numbers, measured=False)))


def by_origin_qasm2(circuit, *given_numbers):
    from pyqpanda3.intermediate_compiler import convert_qasm_string_to_qprog as read

    return origin_values(read(to_qasm2(circuit, *given_numbers, measured=False)))


READERS = [by_qiskit2, by_qiskit3, by_qiskit3_parameters, by_pennylane2, by_origin, by_origin_qasm2]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("circuit", ANSATZES, ids=lambda c: f"{c.qubits}-{len(c.gates)}")
def test_ansatz_read_back_elsewhere(read, circuit):
    given_numbers = numbers(circuit, circuit.qubits)
    np.testing.assert_allclose(read(circuit, *given_numbers), exact(circuit, *given_numbers), atol=1e-9, rtol=0)


@pytest.mark.parametrize("read", READERS)
@given(circuit=circuits(), seed=st.integers(0, 1000))
@SOME
def test_any_circuit_read_back_elsewhere(read, circuit, seed):
    given_numbers = numbers(circuit, seed)
    np.testing.assert_allclose(read(circuit, *given_numbers), exact(circuit, *given_numbers), atol=1e-9, rtol=0)


@pytest.mark.parametrize("write", [to_qasm2, to_qasm3, to_originir])
def test_every_digit_is_written(write):
    circuit = crz_ring_ansatz(3, 1)
    inputs, parameters = numbers(circuit, 3)
    text = write(circuit, inputs, parameters)
    found = {float(n) for n in re.findall(r"\((-?[\d.]+(?:e[+-]?\d+)?)\)", text)}
    assert found == {*inputs, *parameters}


@pytest.mark.parametrize("write", [to_qasm2, to_qasm3, to_originir])
def test_measurements_are_left_out_where_not_wanted(write):
    circuit = crz_ring_ansatz(3, 1)
    text = write(circuit, *numbers(circuit, 0), measured=False)
    assert "measure" in write(circuit, *numbers(circuit, 0)).lower()
    assert "measure" not in text.lower() and "b[" not in text


def test_measured_bits_are_those_of_their_qubits():
    import qiskit.qasm2
    import qiskit.qasm3

    circuit = crz_ring_ansatz(3, 1)
    given_numbers = numbers(circuit, 0)
    for read in (
        qiskit.qasm2.loads(to_qasm2(circuit, *given_numbers)),
        qiskit.qasm3.loads(to_qasm3(circuit, *given_numbers)),
    ):
        pairs = [
            (read.find_bit(i.qubits[0]).index, read.find_bit(i.clbits[0]).index)
            for i in read.data
            if i.operation.name == "measure"
        ]
        assert pairs == [(0, 0), (1, 1), (2, 2)]


def test_only_what_is_open_is_an_input_of_qasm3():
    circuit = crz_ring_ansatz(2, 1)
    inputs, parameters = numbers(circuit, 0)
    assert re.findall(r"input float\[64\] (\w+);", to_qasm3(circuit, parameters=parameters)) == ["c0", "c1"]
    assert re.findall(r"input float\[64\] (\w+);", to_qasm3(circuit, inputs)) == [f"t{i}" for i in range(8)]
    assert "input" not in to_qasm3(circuit, inputs, parameters)


@pytest.mark.parametrize("write", [to_qasm2, to_qasm3, to_originir])
def test_wrong_numbers_are_refused(write):
    circuit = crz_ring_ansatz(2, 1)
    with pytest.raises(ValueError, match="takes 2 finite numbers as inputs"):
        write(circuit, [1.0], [0.0] * 8)
    with pytest.raises(ValueError, match="takes 8 finite numbers as parameters"):
        write(circuit, [1.0, 2.0], [float("nan")] * 8)
