"""Every gate of the table keeps what the table says of it, and works everywhere."""

from dataclasses import replace
from functools import reduce
from itertools import permutations

import numpy as np
import pytest
import torch

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, expectation_values, final_states
from qweft.circuit.alternating import alternating_form
from qweft.circuit.description import c, circuit_of, counts, t
from qweft.circuit.draw.drawing import circuit_text
from qweft.circuit.draw.picture import circuit_figure
from qweft.circuit.formats import FORMATS, to_pennylane, to_qiskit
from qweft.circuit.formats.origin import program
from qweft.circuit.gates import GATES
from qweft.devices import BoundCircuits, DeviceSettings, Measurer, make_device
from qweft.devices.mitigation import fold_circuits
from qweft.devices.noise.native import native_gates
from tests.circuit.formats import readers
from tests.devices.noise.native_matrices import CZ, unitary_of

CONTROLLED = replace(GATES["rzz"], name="crzz", controls=1)
"""Two targets and a control, for drawings."""

MIXED = circuit_of(
    3,
    ("h", 0),
    ("rx", 0, c(0)),
    ("ry", 1, c(1)),
    ("cnot", 0, 1),
    ("rzz", 2, 0, t(0)),
    ("rx", 2, 2 * t(1)),
    ("s", 2),
    ("crz", 0, 2, -0.5 * c(0)),
    ("rxx", 0, 1, c(1)),
    ("x", 2),
    ("crx", 1, 2, t(1)),
    ("t", 1),
    ("cry", 2, 0, t(2)),
    ("rz", 1, 0.8),
    ("cz", 1, 0),
    ("ry", 1, c(1)),
    ("crz", 2, 1, t(2)),
    ("h", 1),
)
PRODUCTS = replace(MIXED, measured=("X0", "Z2", "Y1 X2", "Z0 Z1", "Y2"))
PAULIS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
INPUTS, ANGLES = [0.7, -1.9], [1.1, 0.4, -2.3]


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
        angle = gate.scale * {"input": inputs, "parameter": parameters, "constant": [1.0]}[gate.source][gate.index]
        state = dense(gate.name, gate.wires, angle, circuit.qubits) @ state
    return state


def wanted_values(circuit=MIXED):
    state = state_by_matrices(circuit, INPUTS, ANGLES)
    products = (reduce(np.kron, [PAULIS[letter] for letter in letters]) for letters in circuit.observables)
    return np.array([(state.conj() @ product @ state).real for product in products])


def tensors():
    return torch.tensor([INPUTS], dtype=torch.float64), torch.tensor(ANGLES, dtype=torch.float64)


def needs(module):
    pytest.importorskip(module)


@pytest.mark.parametrize("name", [name for name, kind in GATES.items() if kind.has_angle])
def test_a_matrix_turns_back_by_its_angle_and_is_diagonal_where_it_says_so(name):
    kind = GATES[name]
    size = 2**kind.targets
    there, back = matrix_of(kind, 1.3), matrix_of(kind, -1.3)
    np.testing.assert_allclose(matrix_of(kind, 0.0), np.eye(size), atol=1e-15)
    np.testing.assert_allclose(there @ there.conj().T, np.eye(size), atol=1e-15)
    np.testing.assert_allclose(there @ back, np.eye(size), atol=1e-15)
    assert kind.is_diagonal == (not np.any(there - np.diag(np.diag(there))))


@pytest.mark.parametrize("name", GATES)
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


@pytest.mark.parametrize("name", [name for name, kind in GATES.items() if kind.has_angle])
def test_shifted_values_give_the_derivative(name):
    kind = GATES[name]
    wires = tuple(range(kind.wires))
    around = [Gate(axis, (wire,), "parameter", 1 + wire) for axis in ("ry", "rz") for wire in wires]
    after = [Gate(axis, (wire,), "parameter", 3 + wire) for axis in ("rz", "ry") for wire in wires]
    circuit = Circuit(kind.wires, 0, 5, (*around, Gate(name, wires, "parameter", 0), *after))

    def value(angle):
        angles = torch.cat([angle.reshape(1), torch.tensor([0.9, 0.5, 1.7, 0.3], dtype=torch.float64)])
        return expectation_values(circuit, torch.zeros(1, 0, dtype=torch.float64), angles).sum()

    at = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(value(at), at)
    found = sum(coefficient * value(at.detach() + shift) for shift, coefficient in kind.shifts)
    assert float(wanted) == pytest.approx(float(found), abs=1e-12) and abs(wanted) > 1e-2


def test_gates_are_simulated():
    inputs, angles = tensors()
    wanted = state_by_matrices(MIXED, INPUTS, ANGLES)
    np.testing.assert_allclose(final_states(MIXED, inputs, angles)[0], wanted, atol=1e-14)
    np.testing.assert_allclose(expectation_values(MIXED, inputs, angles)[0], wanted_values(), atol=1e-14)
    np.testing.assert_allclose(expectation_values(PRODUCTS, inputs, angles)[0], wanted_values(PRODUCTS), atol=1e-14)
    assert alternating_form(MIXED) is None


def test_every_token_may_have_angles_of_its_own():
    circuit = crz_ring_ansatz(3, 2)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, circuit.inputs, dtype=torch.float64, generator=generator)
    parameters = torch.randn(4, circuit.parameters, dtype=torch.float64, generator=generator)
    wanted = torch.cat([final_states(circuit, inputs[i : i + 1], parameters[i]) for i in range(4)])
    assert torch.equal(final_states(circuit, inputs, parameters), wanted)


def test_a_gate_is_counted_and_known_to_be_dead():
    assert counts(MIXED).gates["ry"] == 2 and counts(MIXED).two_qubit == 8
    diagonal = ("rzz", 0, 1, t(0))
    assert circuit_of(2, diagonal).dead_parameters() == (0,)
    assert circuit_of(2, diagonal, ("s", 1), ("cz", 0, 1)).dead_parameters() == (0,)
    assert circuit_of(2, diagonal, ("rx", 1, c(0))).dead_parameters() == ()
    assert circuit_of(2, diagonal, measured=["X0"]).dead_parameters() == ()
    assert circuit_of(2, diagonal, ("rx", 1, t(0))).dead_parameters() == ()


@pytest.mark.parametrize("wires", list(permutations(range(3))))
def test_a_line_connects_everything_of_a_gate(monkeypatch, wires):
    monkeypatch.setitem(GATES, "crzz", CONTROLLED)
    circuit = Circuit(3, 1, 0, (Gate("crzz", wires, "input", 0),))
    (axes,) = circuit_figure(circuit, 900).axes
    *wires, line, dots = axes.lines
    heights = [*dots.get_ydata(), *(text.get_position()[1] for text in axes.texts if text.get_bbox_patch())]
    assert sorted(heights) == sorted(wire.get_ydata()[0] for wire in wires)
    assert list(line.get_ydata()) == [min(heights), max(heights)]


def test_gates_are_drawn():
    text = circuit_text(PRODUCTS, width=300).splitlines()
    assert "┤RX(c0)├" in text[0] and text[0].count("┤RZZ(t0)├") == text[4].count("┤RZZ(t0)├") == 1
    assert "┤RZ(-0.5*c0)├" in text[4] and "┤RZ(0.8)├" in text[2] and "┤H├" in text[0]
    assert text[0].endswith("⟨X⟩, ⟨Z0 Z1⟩") and text[2].endswith("⟨Y1 X2⟩") and text[4].endswith("⟨Z⟩, ⟨Y⟩")
    drawn = [text.get_text() for text in circuit_figure(PRODUCTS, 900).axes[0].texts]
    assert drawn.count("RZZ(t0)") == 2 and "⟨Y1 X2⟩" in drawn


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
def test_gates_are_written_so_that_others_read_them(module, read):
    needs(module)
    texts = {name: form.write(MIXED, INPUTS, ANGLES, measured=False) for name, form in FORMATS.items()}
    np.testing.assert_allclose(read(texts), wanted_values(), atol=1e-9)


def test_gates_run_in_other_packages():
    for module in ("pennylane", "pyqpanda3"):
        needs(module)
    import pennylane

    for circuit in (MIXED, PRODUCTS):
        node = pennylane.QNode(to_pennylane(circuit), pennylane.device("default.qubit", wires=3))
        found = np.array(node(*map(np.array, (INPUTS, ANGLES))))
        np.testing.assert_allclose(found, wanted_values(circuit), atol=1e-12)
    bound = BoundCircuits.of(MIXED, *tensors())
    found = readers.by_origin(program(3, bound.gates, bound.angles[0], measured=False), 3)
    np.testing.assert_allclose(found, wanted_values(), atol=1e-12)


@pytest.mark.parametrize("device", ["exact", "noisy", "pennylane:default.qubit", "qiskit:aer", "origin:cpu"])
def test_gates_run_on_devices(device):
    for prefix, module in (("pennylane", "pennylane"), ("qiskit", "qiskit_aer"), ("origin", "pyqpanda3")):
        if device.startswith(prefix):
            needs(module)
    settings = DeviceSettings(noise_scale=0.0) if device == "noisy" else DeviceSettings()
    bound = BoundCircuits.of(MIXED, *tensors())
    for circuits in (bound, fold_circuits(bound, 3)):
        found = make_device(device, settings).run(circuits, None).expectations()[0]
        np.testing.assert_allclose(found, wanted_values(), atol=1e-9)
    found = Measurer(make_device(device, settings))(PRODUCTS, *tensors())[0]
    np.testing.assert_allclose(found, wanted_values(PRODUCTS), atol=1e-9)


@pytest.mark.parametrize("circuit", [MIXED, PRODUCTS])
def test_gates_have_measured_gradients(circuit):
    inputs, angles = (tensor.requires_grad_() for tensor in tensors())
    weights = torch.tensor([0.3, -1.1, 0.7, 0.4, -0.2][: circuit.outputs], dtype=torch.float64)
    exact = torch.autograd.grad((expectation_values(circuit, inputs, angles) * weights).sum(), (inputs, angles))
    by_shifts = Measurer(make_device("exact"))(circuit, inputs, angles)
    torch.testing.assert_close(torch.autograd.grad((by_shifts * weights).sum(), (inputs, angles)), exact)
