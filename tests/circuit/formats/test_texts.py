"""Texts read by others, and simulated by them to our values."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft import __version__
from qweft.circuit import Circuit, Gate, crz_ring_ansatz, expectation_values
from qweft.circuit.formats import FORMATS, to_openqasm2, to_openqasm3, to_originir
from qweft.circuit.formats.common import number
from tests.circuit.formats import readers
from tests.circuit.formats.cases import RECORDED, random_cases, with_angles

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


QUICK = ["qasm2, qiskit", "qasm2, origin", "qasm3 half open, qiskit 3", "originir, origin"]
"""Those that read all circuits on record."""


def way_of(name):
    pytest.importorskip(NEEDS[name.split(", ")[1]])
    return WAYS[name]


def assert_same(found, circuit, inputs, parameters):
    np.testing.assert_allclose(found, expectation_values(circuit, inputs, parameters), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("way", QUICK)
def test_the_circuits_on_record_are_read_to_the_same_values(way, name):
    case = with_angles(RECORDED[name], seed=len(name))
    assert_same(way_of(way)(*case, True), *case)


@pytest.mark.parametrize("way", [way for way in WAYS if way not in QUICK])
def test_a_circuit_on_record_is_read_by_the_slow_ones_too(way):
    case = with_angles(crz_ring_ansatz(4, 2))
    assert_same(way_of(way)(*case, True), *case)


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


def test_numbers_below_full_precision_are_zero():
    assert [number(value) for value in (5e-324, -2.2e-308, 2.2250738585072014e-308)] == [
        "0.0",
        "0.0",
        "2.2250738585072014e-308",
    ]


@pytest.mark.parametrize("name", ["qasm2, origin", "qasm2, qiskit", "qasm3, qiskit 3", "originir, origin"])
def test_readers_get_all_64_bits(name):
    """An angle near 1e5, all of whose digits count: the last bit alone would change the value by 1e-11."""
    x = 99999.12345678912
    circuit = Circuit(1, 1, 0, (Gate("ry", (0,), "input", 0),))
    found = way_of(name)(circuit, [x], [], True)
    np.testing.assert_allclose(found, np.cos(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_measurements_are_there_if_asked_for(name, measured):
    text = FORMATS[name].write(*with_angles(crz_ring_ansatz(3, 1)), measured=measured)
    assert ("measure" in text.lower().split("\n", 3)[3]) == measured


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


ABOUT = "From adapter a/b\nOPENQASM 7;\r\u2028x \udc80, token 2 ('\"/* \\ \U0001f600 */') \\\n"
"""What a folder and a token may be called at worst."""


@pytest.mark.parametrize(
    ("write", "package", "read"),
    [
        (to_openqasm2, "qiskit", readers.qasm2_by_qiskit),
        (to_openqasm2, "pyqpanda3", lambda text: readers.qasm2_by_origin(text, 3)),
        (to_openqasm3, "qiskit_qasm3_import", readers.qasm3_by_qiskit),
        (to_openqasm3, "openqasm3", lambda text: readers.qasm3_by_pennylane(text, 3)),
        (to_originir, "pyqpanda3", lambda text: readers.originir_by_origin(text, 3)),
    ],
)
def test_where_it_is_from_is_one_line_of_the_heading(write, package, read):
    pytest.importorskip(package)
    case = with_angles(crz_ring_ansatz(3, 1))
    text = write(*case, measured=package != "openqasm3", about=ABOUT)
    text.encode()
    lines = text.splitlines()
    assert lines[3].startswith("// From adapter a/b OPENQASM 7;  x  , token 2 ('\"/* ")
    assert [*lines[:3], *lines[4:]] == write(*case, measured=package != "openqasm3").splitlines()
    assert_same(read(text), *case)


def test_texts_by_eye():
    circuit = Circuit(2, 1, 1, (Gate("ry", (1,), "input", 0), Gate("crz", (1, 0), "parameter", 0)))
    head = [
        f"// A quantum circuit written by qweft {__version__}. Qubits: 2, gates: 2.",
        "// All qubits start in |0>; the output z_i is the expectation of Z on q[i]. Angles are in radians.",
        "// q[0] is the most significant bit of the number of a basis state.",
    ]
    assert to_openqasm2(circuit, [0.1], [-1e-17]).splitlines() == [
        *head,
        "OPENQASM 2.0;",
        'include "qelib1.inc";',
        "qreg q[2];",
        "creg b[2];",
        "ry(0.1) q[1];",
        "crz(-1.0e-17) q[1],q[0];",
        "measure q -> b;",
    ]
    assert to_openqasm3(circuit, parameters=[-1e-17]).splitlines() == [
        *head,
        "OPENQASM 3.0;",
        'include "stdgates.inc";',
        "// the circuit's inputs",
        "input float[64] c0;",
        "qubit[2] q;",
        "bit[2] b;",
        "ry(c0) q[1];",
        "crz(-1.0e-17) q[1], q[0];",
        "b = measure q;",
    ]
    assert to_originir(circuit, [0.1], [-1e-17]).splitlines() == [
        *head,
        "QINIT 2",
        "CREG 2",
        "RY q[1],(0.1)",
        "CONTROL q[1]",
        "RZ q[0],(-1.0e-17)",
        "ENDCONTROL",
        "MEASURE q[0],c[0]",
        "MEASURE q[1],c[1]",
    ]
