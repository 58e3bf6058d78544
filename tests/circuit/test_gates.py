"""Every gate of the table keeps what the table says of it; and a gate that is added there alone works everywhere."""

import math
import re
from functools import reduce
from itertools import permutations
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from qweft.circuit import Circuit, Gate, expectation_values, final_states
from qweft.circuit.alternating import alternating_form
from qweft.circuit.description import counts
from qweft.circuit.drawing import circuit_svg, circuit_text, in_words
from qweft.circuit.formats import FORMATS, to_pennylane, to_qiskit
from qweft.circuit.formats.origin import program
from qweft.circuit.gates import FOUR_SHIFTS, GATES, TWO_SHIFTS, GateKind, NativeStep
from qweft.circuit.picture import _drawn, circuit_picture
from qweft.devices import BoundCircuits, DeviceSettings, Measurer, make_device
from qweft.devices.measure import measured
from qweft.devices.mitigation import folded
from qweft.devices.noise.native import native_gates
from tests.circuit.formats import readers
from tests.devices.noise.native_matrices import CZ, unitary_of


def _rx(angle):
    cos, sin = (angle / 2).cos(), (angle / 2).sin()
    return [[cos, -1j * sin], [-1j * sin, cos]]


def _rzz(angle):
    phase = torch.complex((angle / 2).cos(), (angle / 2).sin())
    same = phase.conj()
    return [[same, None, None, None], [None, phase, None, None], [None, None, phase, None], [None, None, None, same]]


TOYS = {
    "rx": GateKind(
        0, 1, _rx, False, TWO_SHIFTS, (NativeStep("x", (0,), factor=1.0),), "RX",
        "rx({angle}) {0};", "rx({angle}) {0};", "RX {0},({angle})", "rx", "RX", "RX",
    ),
    "rzz": GateKind(
        0, 2, _rzz, True, TWO_SHIFTS,
        (
            NativeStep("y", (1,), constant=-math.pi / 2), NativeStep("cz", (0, 1)), NativeStep("x", (1,), factor=-1.0),
            NativeStep("cz", (0, 1)), NativeStep("y", (1,), constant=math.pi / 2),
        ),
        "ZZ", "cx {0},{1};\nrz({angle}) {1};\ncx {0},{1};", "cx {0}, {1};\nrz({angle}) {1};\ncx {0}, {1};",
        "CNOT {0},{1}\nRZ {1},({angle})\nCNOT {0},{1}", "rzz", "IsingZZ", "RZZ",
    ),
}  # fmt: skip

CONTROLLED = GateKind(
    1, 2, _rzz, True, FOUR_SHIFTS,
    (
        NativeStep("y", (2,), constant=-math.pi / 2), NativeStep("cz", (0, 2)), NativeStep("cz", (1, 2)),
        NativeStep("x", (2,), factor=0.5), NativeStep("cz", (0, 2)), NativeStep("x", (2,), factor=-0.5),
        NativeStep("cz", (1, 2)), NativeStep("y", (2,), constant=math.pi / 2),
    ),
    "ZZ", "", "", "", "", "", "",
)  # fmt: skip
"""Two targets and a control, for drawings; the other packages have no such gate."""

with pytest.MonkeyPatch.context() as patch:
    for name, kind in TOYS.items():
        patch.setitem(GATES, name, kind)
    MIXED = Circuit(
        3,
        2,
        3,
        (
            Gate("rx", (0,), "input", 0),
            Gate("ry", (1,), "input", 1),
            Gate("rzz", (2, 0), "parameter", 0),
            Gate("rx", (2,), "parameter", 1),
            Gate("crz", (0, 2), "input", 0),
            Gate("rzz", (0, 1), "input", 1),
            Gate("rx", (1,), "parameter", 1),
            Gate("ry", (0,), "parameter", 2),
            Gate("crz", (2, 1), "parameter", 2),
        ),
    )
INPUTS, ANGLES = [0.7, -1.9], [1.1, 0.4, -2.3]


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    for name, kind in TOYS.items():
        monkeypatch.setitem(GATES, name, kind)


def dense(name, wires, angle, qubits):
    """The gate on the whole register, entry by entry."""
    kind = GATES[name]
    small = matrix_of(kind, angle)
    found = np.zeros((2**qubits, 2**qubits), complex)
    for column in range(2**qubits):
        bits = [column >> (qubits - 1 - wire) & 1 for wire in range(qubits)]
        if not all(bits[wire] for wire in wires[: kind.controls]):
            found[column, column] = 1
            continue
        targets = wires[kind.controls :]
        for row in range(2**kind.targets):
            to = list(bits)
            for place, wire in enumerate(targets):
                to[wire] = row >> (kind.targets - 1 - place) & 1
            came = int("".join(str(bits[wire]) for wire in targets), 2)
            found[int("".join(map(str, to)), 2), column] += small[row, came]
    return found


def matrix_of(kind, angle):
    rows = kind.matrix(torch.tensor(angle, dtype=torch.float64))
    return np.array([[0 if entry is None else complex(entry) for entry in row] for row in rows])


def state_by_matrices(circuit, inputs, parameters):
    state = np.eye(2**circuit.qubits, dtype=complex)[0]
    for gate in circuit.gates:
        angle = (inputs if gate.source == "input" else parameters)[gate.index]
        state = dense(gate.name, gate.wires, angle, circuit.qubits) @ state
    return state


def wanted_values():
    chances = np.abs(state_by_matrices(MIXED, INPUTS, ANGLES).reshape([2] * 3)) ** 2
    return np.array([np.subtract(*np.moveaxis(chances, wire, 0).reshape(2, -1).sum(1)) for wire in range(3)])


def tensors():
    return torch.tensor([INPUTS], dtype=torch.float64), torch.tensor(ANGLES, dtype=torch.float64)


def needs(module):
    pytest.importorskip(module)


@pytest.mark.parametrize("name", ["ry", "crz", *TOYS])
def test_a_matrix_turns_back_by_its_angle_and_is_diagonal_where_it_says_so(name):
    kind = GATES[name]
    size = 2**kind.targets
    there, back = matrix_of(kind, 1.3), matrix_of(kind, -1.3)
    np.testing.assert_allclose(matrix_of(kind, 0.0), np.eye(size), atol=1e-15)
    np.testing.assert_allclose(there @ there.conj().T, np.eye(size), atol=1e-15)
    np.testing.assert_allclose(there @ back, np.eye(size), atol=1e-15)
    assert kind.is_diagonal == (not np.any(there - np.diag(np.diag(there))))


@pytest.mark.parametrize("name", ["ry", "crz", *TOYS])
def test_native_steps_are_the_gate_up_to_a_phase(name):
    wires = tuple(range(GATES[name].wires))[::-1]
    found = np.eye(2 ** len(wires), dtype=complex)
    for gate in native_gates(((name, wires),)):
        each = {wire: np.eye(2) for wire in sorted(wires)}
        if gate.turns:
            each[gate.wires[0]] = unitary_of(gate, [1.3])
        found = (reduce(np.kron, each.values()) if gate.turns else CZ) @ found
    wanted = dense(name, wires, 1.3, len(wires))
    assert abs(np.trace(wanted.conj().T @ found)) == pytest.approx(2 ** len(wires), abs=1e-12)


@pytest.mark.parametrize("name", ["ry", "crz", *TOYS])
def test_shifted_values_give_the_derivative(name):
    kind = GATES[name]
    wires = tuple(range(kind.wires))
    around = [Gate("ry", (wire,), "parameter", 1 + wire) for wire in wires]
    after = [Gate("ry", (wire,), "parameter", 3 + wire) for wire in wires]
    circuit = Circuit(kind.wires, 0, 5, (*around, Gate(name, wires, "parameter", 0), *after))

    def value(angle):
        angles = torch.cat([angle.reshape(1), torch.tensor([0.9, 0.5, 1.7, 0.3], dtype=torch.float64)])
        return expectation_values(circuit, torch.zeros(1, 0, dtype=torch.float64), angles).sum()

    at = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(value(at), at)
    found = sum(coefficient * value(at.detach() + shift) for shift, coefficient in kind.shifts)
    assert float(wanted) == pytest.approx(float(found), abs=1e-12) and abs(wanted) > 1e-2


def test_a_new_gate_is_simulated():
    inputs, angles = tensors()
    wanted = state_by_matrices(MIXED, INPUTS, ANGLES)
    np.testing.assert_allclose(final_states(MIXED, inputs, angles)[0], wanted, atol=1e-14)
    np.testing.assert_allclose(expectation_values(MIXED, inputs, angles)[0], wanted_values(), atol=1e-14)
    assert alternating_form(MIXED) is None  # the fast engines leave it to the reference


def test_a_new_gate_is_checked_and_counted():
    with pytest.raises(ValueError, match=r"is not a known gate on distinct wires.*'rzz': 2"):
        Circuit(2, 1, 0, (Gate("rzz", (0,), "input", 0),))
    assert counts(MIXED).gates == {"rx": 3, "ry": 2, "rzz": 2, "crz": 2} and counts(MIXED).two_qubit == 4
    diagonal = Gate("rzz", (0, 1), "parameter", 0)
    assert Circuit(2, 0, 1, (diagonal,)).dead_parameters() == (0,)
    assert Circuit(2, 1, 1, (diagonal, Gate("rx", (1,), "input", 0))).dead_parameters() == ()


@pytest.mark.parametrize("wires", list(permutations(range(3))))
def test_a_line_connects_everything_of_a_gate(monkeypatch, wires):
    monkeypatch.setitem(GATES, "crzz", CONTROLLED)
    circuit = Circuit(3, 1, 0, (Gate("crzz", wires, "input", 0),))
    svg = circuit_svg(circuit, "c")
    (ends,) = re.findall(r'd="M[\d.]+ ([\d.]+)V([\d.]+)"', svg)
    drawn = re.findall(r'<circle [^>]*cy="([\d.]+)"|<text [^>]*y="([\d.]+)" text-anchor', svg)
    heights = [float(dot) if dot else float(box) - 4 for dot, box in drawn]  # a box's text is 4 below its middle
    assert len(heights) == 3 and sorted(map(float, ends)) == [min(heights), max(heights)]
    axes = _drawn(ElementTree.fromstring(circuit_picture(circuit, "svg"))).axes[0]
    (vertical,) = (line.get_ydata() for line in axes.lines if len(set(line.get_xdata())) == 1 < len(line.get_xdata()))
    wired = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_xdata())) == 2]
    assert sorted(vertical) == [min(wired), max(wired)]


def test_a_new_gate_is_drawn():
    text = circuit_text(MIXED, width=200).splitlines()
    assert "┤RX(c0)├" in text[0] and text[0].count("┤ZZ(t0)├") == text[4].count("┤ZZ(t0)├") == 1
    assert text[2].count("┼") == 2  # links of gates on q0 and q2 pass it
    svg = circuit_svg(MIXED, "c")
    assert svg.count('class="gate"') == len(MIXED.gates) and svg.count("<circle") == 2 and svg.count(">ZZ(t0)</") == 2
    assert "RZZ by t0 on qubit 2 and qubit 0;" in in_words(MIXED)
    assert circuit_picture(MIXED, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("module", "read"),
    [
        ("qiskit", lambda texts: readers.qasm2_by_qiskit(texts["qasm2"])),
        ("pyqpanda3", lambda texts: readers.qasm2_by_origin(texts["qasm2"], 3)),
        ("qiskit_qasm3_import", lambda texts: readers.qasm3_by_qiskit(texts["qasm3"])),
        ("openqasm3", lambda texts: readers.qasm3_by_pennylane(texts["qasm3"], 3)),
        ("pyqpanda3", lambda texts: readers.originir_by_origin(texts["originir"], 3)),
        ("qiskit", lambda _: readers.by_qiskit(to_qiskit(MIXED, INPUTS, ANGLES))),
    ],
)
def test_a_new_gate_is_written_so_that_others_read_it(module, read):
    needs(module)
    texts = {name: form.write(MIXED, INPUTS, ANGLES, measured=False) for name, form in FORMATS.items()}
    np.testing.assert_allclose(read(texts), wanted_values(), atol=1e-9)


def test_a_new_gate_runs_in_other_packages():
    for module in ("pennylane", "pyqpanda3"):
        needs(module)
    import pennylane

    node = pennylane.QNode(to_pennylane(MIXED), pennylane.device("default.qubit", wires=3))
    np.testing.assert_allclose(np.array(node(*map(np.array, (INPUTS, ANGLES)))), wanted_values(), atol=1e-12)
    bound = BoundCircuits.of(MIXED, *tensors())
    found = readers.by_origin(program(3, bound.gates, bound.angles[0], measured=False), 3)
    np.testing.assert_allclose(found, wanted_values(), atol=1e-12)


@pytest.mark.parametrize("device", ["exact", "noisy", "pennylane:default.qubit", "qiskit:aer", "origin:cpu"])
def test_a_new_gate_runs_on_devices(device):
    for prefix, module in (("pennylane", "pennylane"), ("qiskit", "qiskit_aer"), ("origin", "pyqpanda3")):
        if device.startswith(prefix):
            needs(module)
    settings = DeviceSettings(noise_scale=0.0) if device == "noisy" else DeviceSettings()
    bound = BoundCircuits.of(MIXED, *tensors())
    for circuits in (bound, folded(bound, 3)):
        found = make_device(device, settings).run(circuits, None).expectations()[0]
        np.testing.assert_allclose(found, wanted_values(), atol=1e-9)


def test_a_new_gate_has_measured_gradients():
    inputs, angles = (tensor.requires_grad_() for tensor in tensors())
    weights = torch.tensor([0.3, -1.1, 0.7], dtype=torch.float64)
    exact = torch.autograd.grad((expectation_values(MIXED, inputs, angles) * weights).sum(), (inputs, angles))
    by_shifts = measured(Measurer(make_device("exact")), MIXED, inputs, angles)
    torch.testing.assert_close(torch.autograd.grad((by_shifts * weights).sum(), (inputs, angles)), exact)
