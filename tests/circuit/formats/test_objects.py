"""Qiskit's and PennyLane's objects, run there to our values and gradients."""

import numpy as np
import pytest
from hypothesis import given, settings

from qweft.circuit import expectation_values
from qweft.circuit.formats import to_pennylane, to_qiskit
from tests.circuit.formats import readers
from tests.circuit.formats.cases import random_cases


@pytest.fixture(scope="module")
def qiskit():
    return pytest.importorskip("qiskit")


@pytest.fixture(scope="module")
def pennylane():
    return pytest.importorskip("pennylane")


def assert_same(found, case):
    np.testing.assert_allclose(found, expectation_values(*case), rtol=0, atol=1e-9)


def node_of(pennylane, qubits, function, **options):
    return pennylane.QNode(function, pennylane.device("default.qubit", wires=qubits), **options)


@settings(max_examples=25, deadline=None)
@given(case=random_cases())
def test_random_circuits_in_qiskit(qiskit, case):
    circuit, inputs, parameters = case
    assert_same(readers.by_qiskit(to_qiskit(*case)), case)
    for given_ones in ({}, {"inputs": inputs}, {"parameters": parameters}):
        left = to_qiskit(circuit, measured=False, **given_ones)
        rows = {"c": inputs, "t": parameters}
        numbers = {angle: float(rows[angle.vector.name][angle.index]) for angle in left.parameters}
        assert_same(readers.by_qiskit(left.assign_parameters(numbers)), case)


@settings(max_examples=25, deadline=None)
@given(case=random_cases())
def test_random_circuits_in_pennylane(pennylane, case):
    circuit, inputs, parameters = case
    assert_same(node_of(pennylane, circuit.qubits, to_pennylane(*case))(), case)
    node = node_of(pennylane, circuit.qubits, to_pennylane(circuit))
    assert_same(node(inputs.numpy(), parameters.numpy()), case)
    node = node_of(pennylane, circuit.qubits, to_pennylane(circuit, parameters=parameters))
    assert_same(node(inputs.numpy()), case)
