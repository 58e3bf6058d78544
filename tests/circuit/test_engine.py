"""Every path of the engine against the gate-by-gate one, and that one against PennyLane."""

import pennylane
import pytest
import torch

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, expectation_values, gate_by_gate
from qweft.circuit import engine as engine_module
from qweft.circuit.segments import segments_of

SHAPES = [(qubits, layers, reupload) for qubits in range(1, 9) for layers in range(1, 5) for reupload in (True, False)]


def random_case(circuit, tokens=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(tokens, circuit.inputs, dtype=torch.float64, generator=generator) * 2
    parameters = torch.randn(circuit.parameters, dtype=torch.float64, generator=generator) * 2
    weights = torch.randn(tokens, circuit.qubits, dtype=torch.float64, generator=generator)
    return inputs.requires_grad_(), parameters.requires_grad_(), weights


def values_and_gradients(function, circuit, inputs, parameters, weights):
    values = function(circuit, inputs, parameters)
    return values, *torch.autograd.grad((values * weights).sum(), [inputs, parameters])


def by_pennylane(circuit, inputs, parameters):
    device = pennylane.device("default.qubit", wires=circuit.qubits)

    @pennylane.qnode(device, interface="torch", diff_method="backprop")
    def node(inputs, parameters):
        for gate in circuit.gates:
            angle = inputs[:, gate.index] if gate.source == "input" else parameters[gate.index]
            {"ry": pennylane.RY, "crz": pennylane.CRZ}[gate.name](angle, wires=list(gate.wires))
        return [pennylane.expval(pennylane.PauliZ(wire)) for wire in range(circuit.qubits)]

    return torch.stack(node(inputs, parameters), 1)


@pytest.mark.parametrize(("qubits", "layers", "reupload"), SHAPES)
def test_equals_pennylane(qubits, layers, reupload):
    circuit = crz_ring_ansatz(qubits, layers, reupload)
    case = random_case(circuit, seed=qubits * 10 + layers)
    for found, wanted in zip(
        values_and_gradients(expectation_values, circuit, *case),
        values_and_gradients(by_pennylane, circuit, *case),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dense_qubits", [0, 8])
@pytest.mark.parametrize(("qubits", "layers", "reupload"), SHAPES[::3])
def test_each_path_equals_gate_by_gate(monkeypatch, dense_qubits, qubits, layers, reupload):
    monkeypatch.setattr(engine_module, "DENSE_QUBITS", dense_qubits)
    circuit = crz_ring_ansatz(qubits, layers, reupload)
    case = random_case(circuit, tokens=7, seed=layers)
    for found, wanted in zip(
        values_and_gradients(expectation_values, circuit, *case),
        values_and_gradients(gate_by_gate, circuit, *case),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_the_recorded_ansatz_takes_the_dense_path():
    assert segments_of(crz_ring_ansatz(4, 4)).length == 4
    assert segments_of(crz_ring_ansatz(4, 4, reupload=False)).length == 1


def test_a_circuit_of_another_form_is_served_by_blocks():
    gates = (
        Gate("ry", (0,), "parameter", 0),
        Gate("crz", (0, 2), "input", 1),
        Gate("ry", (1,), "input", 0),
        Gate("ry", (1,), "input", 1),
        Gate("crz", (1, 0), "parameter", 1),
        Gate("ry", (0,), "parameter", 2),
        Gate("ry", (2,), "input", 0),
        Gate("crz", (2, 1), "parameter", 0),
        Gate("ry", (1,), "parameter", 1),
    )
    circuit = Circuit(3, 2, 3, gates)
    assert segments_of(circuit) is None
    case = random_case(circuit)
    for found, wanted in zip(
        values_and_gradients(expectation_values, circuit, *case),
        values_and_gradients(by_pennylane, circuit, *case),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("qubits", [3, 7])
def test_gradients_by_finite_differences(qubits):
    circuit = crz_ring_ansatz(qubits, 2)
    inputs, parameters, _ = random_case(circuit, tokens=2)
    assert torch.autograd.gradcheck(lambda x, t: expectation_values(circuit, x, t), (inputs, parameters))


@pytest.mark.parametrize("qubits", [4, 7])
def test_many_tokens_in_chunks(monkeypatch, qubits):
    circuit = crz_ring_ansatz(qubits, 2)
    case = random_case(circuit, tokens=50)
    whole = values_and_gradients(expectation_values, circuit, *case)
    monkeypatch.setattr("qweft.circuit.segments.CHUNK_AMPLITUDES", 7 * 2**qubits)
    monkeypatch.setattr("qweft.circuit.blocks.CHUNK_AMPLITUDES", 8 * 2**qubits)
    for found, wanted in zip(values_and_gradients(expectation_values, circuit, *case), whole, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("qubits", [1, 4, 7])
def test_shapes_types_and_second_use(qubits):
    circuit = crz_ring_ansatz(qubits, 2)
    inputs, parameters, _ = random_case(circuit, tokens=12)
    values = expectation_values(circuit, inputs.detach().view(3, 4, qubits), parameters)
    assert values.shape == (3, 4, qubits)
    flat = expectation_values(circuit, inputs, parameters)
    torch.testing.assert_close(values.view(12, qubits), flat)
    swapped = inputs.detach().t().contiguous().t()
    assert qubits == 1 or not swapped.is_contiguous()
    torch.testing.assert_close(expectation_values(circuit, swapped, parameters), flat)
    empty = expectation_values(circuit, inputs[:0], parameters)
    assert empty.shape == (0, qubits)
    empty.sum().backward()
    first = torch.autograd.grad(flat.sum(), parameters, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(flat.sum(), parameters)[0], first)
    with torch.no_grad():
        torch.testing.assert_close(expectation_values(circuit, inputs, parameters), flat)


@pytest.mark.parametrize("qubits", [4, 7])
def test_float32_and_autocast_keep_six_digits(qubits):
    circuit = crz_ring_ansatz(qubits, 3)
    inputs, parameters, _ = random_case(circuit, tokens=20)
    exact = expectation_values(circuit, inputs, parameters).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        single = expectation_values(circuit, inputs.detach().float(), parameters.detach().float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, exact, rtol=0, atol=2e-6)
    half = expectation_values(circuit, inputs.detach().bfloat16(), parameters.detach().bfloat16())
    assert half.dtype == torch.float32


def test_a_wrong_shape_is_named():
    circuit = crz_ring_ansatz(4, 1)
    with pytest.raises(ValueError, match=r"inputs \(\.\.\., 4\).*got \(2, 3\)"):
        expectation_values(circuit, torch.zeros(2, 3), torch.zeros(16))
