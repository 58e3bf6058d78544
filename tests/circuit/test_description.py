"""The circuit as data: counts, conventions, dead parameters, faults."""

import pytest
import torch

from qweft.circuit import crz_ring_ansatz, expectation_values


@pytest.mark.parametrize(("qubits", "layers"), [(4, 4), (10, 10), (2, 3)])
@pytest.mark.parametrize("reupload", [True, False])
def test_four_angles_a_qubit_and_layer(qubits, layers, reupload):
    assert crz_ring_ansatz(qubits, layers, reupload).parameters == 4 * qubits * layers


def test_a_single_qubit_has_no_ring():
    circuit = crz_ring_ansatz(1, 3)
    assert circuit.parameters == 6
    assert {gate.name for gate in circuit.gates} == {"ry"}


def test_the_recorded_order_of_a_layer():
    steps = [(gate.name, gate.wires, gate.source) for gate in crz_ring_ansatz(3, 1).gates]
    assert steps == [
        *[("ry", (i,), "input") for i in range(3)],
        *[("crz", wires, "parameter") for wires in [(0, 1), (1, 2), (2, 0)]],
        *[("ry", (i,), "parameter") for i in range(3)],
        *[("crz", wires, "parameter") for wires in [(0, 2), (1, 0), (2, 1)]],
        *[("ry", (i,), "parameter") for i in range(3)],
    ]


def test_qubit_zero_reads_the_first_input():
    values = expectation_values(crz_ring_ansatz(3, 1), torch.tensor([[0.5, 0.0, 0.0]]), torch.zeros(12))
    torch.testing.assert_close(values, torch.tensor([[0.5, 0.0, 0.0]]).cos())


@pytest.mark.parametrize("reupload", [True, False])
@pytest.mark.parametrize(("qubits", "layers"), [(2, 1), (4, 2), (5, 3)])
def test_dead_parameters_are_those_without_gradient(qubits, layers, reupload):
    circuit = crz_ring_ansatz(qubits, layers, reupload)
    parameters = torch.randn(circuit.parameters, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(50, qubits, dtype=torch.float64)
    values = expectation_values(circuit, inputs, parameters)
    (gradient,) = torch.autograd.grad((values * torch.randn_like(values)).sum(), parameters)
    dead = tuple((gradient.abs() < 1e-12).nonzero().flatten().tolist())
    assert circuit.dead_parameters() == dead
    assert len(dead) == (0 if reupload else qubits)


@pytest.mark.parametrize(("qubits", "layers"), [(0, 1), (1, 0)])
def test_an_empty_ansatz_is_refused(qubits, layers):
    with pytest.raises(ValueError, match="at least 1 qubit and 1 layer"):
        crz_ring_ansatz(qubits, layers)
