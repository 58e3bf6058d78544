"""Texts read by others, and simulated by them to our values."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, expectation_values
from qweft.circuit.formats import to_openqasm2, to_openqasm3, to_originir
from qweft.circuit.formats.common import number
from tests.circuit.formats import readers
from tests.circuit.formats.cases import random_cases

NEEDS = {"qiskit": "qiskit", "qiskit 3": "qiskit_qasm3_import", "pennylane": "openqasm3", "origin": "pyqpanda3"}

WAYS = {
    "qasm2, qiskit": lambda c, x, t, m: readers.qasm2_by_qiskit(to_openqasm2(c, x, t, m)),
    "qasm2, origin": lambda c, x, t, m: readers.qasm2_by_origin(to_openqasm2(c, x, t, m), c.qubits),
    "qasm3, qiskit 3": lambda c, x, t, m: readers.qasm3_by_qiskit(to_openqasm3(c, x, t, m)),
    "qasm3 open, qiskit 3": lambda c, x, t, m: readers.qasm3_by_qiskit(to_openqasm3(c, measured=m), x, t),
    "qasm3 half open, qiskit 3": lambda c, x, t, m: readers.qasm3_by_qiskit(to_openqasm3(c, None, t, m), x),
    "qasm3, pennylane": lambda c, x, t, m: readers.qasm3_by_pennylane(to_openqasm3(c, x, t, False), c.qubits),
    "qasm3 open, pennylane": lambda c, x, t, m: readers.qasm3_by_pennylane(
        to_openqasm3(c, measured=False), c.qubits, x, t
    ),
    "originir, origin": lambda c, x, t, m: readers.originir_by_origin(to_originir(c, x, t, m), c.qubits),
}
"""Text and reader: (circuit, inputs, parameters, measured) to expectation values."""


def way_of(name):
    pytest.importorskip(NEEDS[name.split(", ")[1]])
    return WAYS[name]


def assert_same(found, circuit, inputs, parameters):
    np.testing.assert_allclose(found, expectation_values(circuit, inputs, parameters), rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_random_circuits_are_read_to_the_same_values(way):
    read = way_of(way)

    @settings(max_examples=25, deadline=None)
    @given(random_cases(), st.booleans())
    def holds(case, measured):
        assert_same(read(*case, measured), *case)

    holds()


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_a_number_survives_and_is_one_in_openqasm_2(value):
    text = number(value)
    assert float(text) == value
    assert re.fullmatch(r"-?[0-9]+\.[0-9]+(e[-+][0-9]+)?", text)  # the real of its grammar, and its sign


@pytest.mark.parametrize("name", ["qasm2, origin", "qasm2, qiskit", "qasm3, qiskit 3", "originir, origin"])
def test_readers_get_all_64_bits(name):
    """An angle near 1e5, all of whose digits count: the last bit alone would change the value by 1e-11."""
    x = 99999.12345678912
    circuit = Circuit(1, 1, 0, (Gate("ry", (0,), "input", 0),))
    found = way_of(name)(circuit, [x], [], True)
    np.testing.assert_allclose(found, np.cos(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("qubits", [1, 3])
def test_qubit_i_is_measured_into_bit_i(qubits):
    """Every circuit with one qubit turned to 1, its bits counted by the simulators of others."""
    for package in ("pyqpanda3", "qiskit_qasm3_import"):
        pytest.importorskip(package)
    qasm2, qasm3 = pytest.importorskip("qiskit.qasm2"), pytest.importorskip("qiskit.qasm3")
    circuit = crz_ring_ansatz(qubits, 1)
    for turned in range(qubits):
        case = (circuit, [np.pi * (wire == turned) for wire in range(qubits)], [0.0] * circuit.parameters)
        wanted = {"".join("1" if wire == turned else "0" for wire in reversed(range(qubits))): 20}
        assert readers.counts_by_qiskit(qasm2.loads(to_openqasm2(*case))) == wanted
        assert readers.counts_by_qiskit(qasm3.loads(to_openqasm3(*case))) == wanted
        assert readers.originir_counts(to_originir(*case)) == wanted
