"""The noisy simulator against density matrices of three other packages."""

import numpy as np
import pytest
import torch

from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.devices import BoundCircuits, DeviceSettings, Measurer, make_device
from qweft.devices.noise import NoiseModel, noise_model
from qweft.devices.noise.native import native_gates
from qweft.devices.noise.paulis import noisy_expectations
from qweft.devices.probabilities import noisy_probabilities as probabilities
from tests.devices.noise.native_matrices import u3_angles, unitary_of

PAPER = noise_model("paper")
PAIR = NoiseModel("own", "made up", 0.03, 0.2, ((0.97, 0.03), (0.2, 0.8)), "pair")
SHAPES = [(1, 2, True), (2, 1, True), (3, 2, True), (4, 2, True), (5, 1, False)]


def bound(qubits, layers, reupload=True, circuits=3, seed=0):
    circuit = crz_ring_ansatz(qubits, layers, reupload)
    generator = torch.Generator().manual_seed(seed)
    inputs = 2 * torch.randn(circuits, qubits, dtype=torch.float64, generator=generator)
    return circuit, inputs, 2 * torch.randn(circuit.parameters, dtype=torch.float64, generator=generator)


def reported(true, model):
    """What is read out, from the true probabilities (2^n,): one matrix on all qubits."""
    matrix = np.ones((1, 1))
    while len(matrix) < len(true):
        matrix = np.kron(matrix, np.array(model.readout))
    return true @ matrix


@pytest.mark.parametrize("shape", SHAPES)
def test_without_noise_it_is_the_engine(shape):
    circuit, inputs, angles = bound(*shape, circuits=300)
    device = make_device("noisy", DeviceSettings(noise_scale=0))
    exact = expectation_values(circuit, inputs, angles)
    torch.testing.assert_close(Measurer(device)(circuit, inputs, angles), exact, rtol=0, atol=1e-12)
    found = noisy_expectations(circuit, inputs, angles, PAPER.scale_errors(0))
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", [PAPER, PAIR])
@pytest.mark.parametrize("shape", SHAPES)
def test_pennylane(shape, model):
    qml = pytest.importorskip("pennylane")
    circuits = BoundCircuits.of(*bound(*shape))
    for row, found in zip(circuits.angles, probabilities(circuits, model), strict=True):

        @qml.qnode(qml.device("default.mixed", wires=circuits.qubits))
        def circuit(row=row):
            for gate in native_gates(circuits.gates):
                if gate.turns:
                    qml.QubitUnitary(unitary_of(gate, row), wires=gate.wires[0])
                    qml.DepolarizingChannel(0.75 * model.one_qubit, wires=gate.wires[0])
                    continue
                qml.CZ(wires=gate.wires)
                if model.channel == "each":
                    for wire in gate.wires:
                        qml.DepolarizingChannel(0.75 * model.two_qubit, wires=wire)
                else:
                    qml.QubitChannel(pair_kraus(model.two_qubit), wires=gate.wires)
            return qml.probs(wires=range(circuits.qubits))

        np.testing.assert_allclose(found, reported(circuit(), model), rtol=0, atol=1e-12)


def pair_kraus(p):
    """(1 - p) rho + p I/4 as the 16 Pauli products, each with probability p/16, and the identity with the rest."""
    one = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    products = [np.kron(a, b) for a in one for b in one]
    return [np.sqrt(1 - p * 15 / 16) * products[0], *(np.sqrt(p / 16) * product for product in products[1:])]


@pytest.mark.parametrize("model", [PAPER, PAIR])
@pytest.mark.parametrize("shape", SHAPES)
def test_qiskit_aer(shape, model):
    qiskit = pytest.importorskip("qiskit")
    noise = pytest.importorskip("qiskit_aer.noise")
    aer = pytest.importorskip("qiskit_aer")
    theirs = noise.NoiseModel()
    theirs.add_all_qubit_quantum_error(noise.depolarizing_error(model.one_qubit, 1), ["u3"])
    each = noise.depolarizing_error(model.two_qubit, 1)
    two = each.tensor(each) if model.channel == "each" else noise.depolarizing_error(model.two_qubit, 2)
    theirs.add_all_qubit_quantum_error(two, ["cz"])
    theirs.add_all_qubit_readout_error(noise.ReadoutError(model.readout))
    simulator = aer.AerSimulator(method="density_matrix", noise_model=theirs)
    circuits = BoundCircuits.of(*bound(*shape))
    for row, found in zip(circuits.angles, probabilities(circuits, model), strict=True):
        circuit = qiskit.QuantumCircuit(circuits.qubits)
        for gate in native_gates(circuits.gates):
            if gate.turns:
                circuit.append(qiskit.circuit.library.U3Gate(*u3_angles(unitary_of(gate, row))), gate.wires)
            else:
                circuit.cz(*gate.wires)
        circuit.save_probabilities(qubits=range(circuits.qubits)[::-1])  # theirs has the first qubit last
        exact = simulator.run(circuit).result().data()["probabilities"]
        np.testing.assert_allclose(found, reported(exact, model), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_origin_s_own_depolarizing_and_readout(shape):
    """pyqpanda3 says what the record's numbers mean: its one-qubit depolarizing error on a CZ acts on either qubit."""
    core = pytest.importorskip("pyqpanda3.core")
    theirs = core.NoiseModel()
    theirs.add_all_qubit_quantum_error(core.depolarizing_error(0.01), core.GateType.U3)
    theirs.add_all_qubit_quantum_error(core.depolarizing_error(0.1), core.GateType.CZ)
    theirs.add_all_qubit_read_out_error([[0.95, 0.05], [0.1, 0.9]])
    circuits = BoundCircuits.of(*bound(*shape))
    for row, found in zip(circuits.angles, probabilities(circuits, PAPER), strict=True):
        program = core.QProg()
        for gate in native_gates(circuits.gates):
            if gate.turns:
                program << core.U3(gate.wires[0], *u3_angles(unitary_of(gate, row)))
            else:
                program << core.CZ(*gate.wires)
        simulator = core.DensityMatrixSimulator()
        simulator.run(program, theirs)
        bits = np.array(simulator.state_probs()).reshape([2] * circuits.qubits)
        exact = bits.transpose().ravel()  # theirs has the first qubit last
        np.testing.assert_allclose(found, reported(exact, PAPER), rtol=0, atol=1e-12)


def test_a_folded_circuit_has_more_noise_and_without_noise_the_same_values():
    ry = np.array([[0.4, -0.4, 0.4]])
    gates = (("ry", (0,)),) * 3
    folded = BoundCircuits(1, gates, ry, folds=3)
    z = [probabilities(folded, PAPER.scale_errors(scale)) @ [1, -1] for scale in (0, 1)]
    assert z[0] == pytest.approx(np.cos(0.4))
    shift, factor = PAPER.readout_map()
    assert z[1] == pytest.approx(shift + factor * 0.99**3 * np.cos(0.4))


@pytest.mark.parametrize("tokens", [5, 100])
def test_gradients_are_those_of_finite_differences(tokens):
    circuit, inputs, angles = bound(2, 2, circuits=tokens)
    inputs, angles = inputs.requires_grad_(), angles.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, t: noisy_expectations(circuit, x, t, PAIR).sum(0), (inputs, angles), atol=1e-7
    )
