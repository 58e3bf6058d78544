"""Every path of the engine against the gate-by-gate one, and that one against PennyLane."""

import pennylane
import pytest
import torch

from qweft.circuit import (
    Circuit,
    Gate,
    crz_ring_ansatz,
    dense,
    engine,
    expectation_values,
    gate_by_gate,
    precision,
)
from qweft.circuit.alternating import alternating_form, basis_signs
from qweft.circuit.cpu import compiled
from qweft.circuit.dense import eigenbasis

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


def opaque(way, *arguments):
    return engine.in_rows(lambda *rows: engine.opaque(list(rows), way.text), *arguments)


PATHS = {"compiled": compiled, "opaque": None, "dense": dense}


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Sends every call through one path: the whole circuit in one operator, or its blocks through some kernels."""
    run, kernels = engine.run, PATHS[request.param]

    def by_blocks(way, inputs, parameters):
        form = alternating_form(way.circuit)
        if form is None:
            return run(way, inputs, parameters)
        blocks = engine.Blocks(form.uploads, kernels)
        return run(blocks, form.uploaded(inputs), *form.angles(parameters))

    monkeypatch.setattr(engine, "run", opaque if kernels is None else by_blocks)
    return request.param


def assert_paths_agree(found, wanted, tolerance=1e-12):
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("qubits", "layers", "reupload"), SHAPES)
def test_each_path_equals_gate_by_gate(path, qubits, layers, reupload):
    circuit = crz_ring_ansatz(qubits, layers, reupload)
    case = random_case(circuit, tokens=19, seed=layers)
    assert_paths_agree(
        values_and_gradients(expectation_values, circuit, *case), values_and_gradients(gate_by_gate, circuit, *case)
    )


@pytest.mark.parametrize("path", ["compiled", "dense"], indirect=True)
@pytest.mark.parametrize(("qubits", "layers"), [(9, 2), (10, 1), (12, 1)])
def test_many_qubits(path, qubits, layers):
    circuit = crz_ring_ansatz(qubits, layers)
    case = random_case(circuit, tokens=3)
    assert_paths_agree(
        values_and_gradients(expectation_values, circuit, *case), values_and_gradients(gate_by_gate, circuit, *case)
    )


@pytest.mark.parametrize("qubits", [4, 7])
def test_without_numba_all_still_works(monkeypatch, qubits):
    circuit = crz_ring_ansatz(qubits, 2)
    case = random_case(circuit)
    wanted = values_and_gradients(expectation_values, circuit, *case)
    monkeypatch.setattr(compiled, "available", lambda: False)
    assert_paths_agree(values_and_gradients(expectation_values, circuit, *case), wanted)
    monkeypatch.setattr(engine, "run", opaque)
    assert_paths_agree(values_and_gradients(expectation_values, circuit, *case), wanted)


def test_phases_fed_by_the_input_are_served_gate_by_gate():
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
    assert alternating_form(circuit) is None
    case = random_case(circuit)
    assert_paths_agree(
        values_and_gradients(expectation_values, circuit, *case), values_and_gradients(by_pennylane, circuit, *case)
    )


@pytest.mark.parametrize("path", ["compiled", "dense"], indirect=True)
def test_another_ansatz_in_alternating_form(path):
    """A parameter used twice, rotations before the first upload, no ring."""
    gates = (
        Gate("crz", (0, 1), "parameter", 2),
        Gate("ry", (2,), "parameter", 0),
        Gate("crz", (0, 2), "parameter", 1),
        Gate("crz", (0, 2), "parameter", 3),
        *(Gate("ry", (wire,), "input", wire) for wire in range(3)),
        Gate("ry", (1,), "parameter", 0),
        Gate("crz", (2, 1), "parameter", 3),
        Gate("ry", (0,), "parameter", 1),
        Gate("crz", (1, 0), "parameter", 0),
        *(Gate("ry", (wire,), "input", wire) for wire in range(3)),
    )
    circuit = Circuit(3, 3, 4, gates)
    assert alternating_form(circuit).uploads == (False, True, False, True)
    case = random_case(circuit)
    found = values_and_gradients(expectation_values, circuit, *case)
    assert_paths_agree(found, values_and_gradients(gate_by_gate, circuit, *case))


@pytest.mark.parametrize("qubits", [1, 2])
@pytest.mark.parametrize("extra", [1, 3])
def test_inputs_that_no_gate_reads(path, qubits, extra):
    """Straight uploads, and more entries of the input than qubits."""
    ansatz = crz_ring_ansatz(qubits, 2)
    circuit = Circuit(qubits, qubits + extra, ansatz.parameters, ansatz.gates)
    inputs, parameters, weights = random_case(circuit, tokens=4)
    found = values_and_gradients(expectation_values, circuit, inputs, parameters, weights)
    assert_paths_agree(found, values_and_gradients(gate_by_gate, circuit, inputs, parameters, weights))


@pytest.mark.parametrize("qubits", [3, 5])
def test_gradients_by_finite_differences(path, qubits):
    circuit = crz_ring_ansatz(qubits, 2)
    inputs, parameters, _ = random_case(circuit, tokens=2)
    assert torch.autograd.gradcheck(lambda x, t: expectation_values(circuit, x, t), (inputs, parameters))


@pytest.mark.parametrize("path", ["dense"], indirect=True)
def test_many_tokens_in_chunks(path, monkeypatch):
    circuit = crz_ring_ansatz(4, 2)
    case = random_case(circuit, tokens=50)
    whole = values_and_gradients(expectation_values, circuit, *case)
    monkeypatch.setattr("qweft.circuit.dense.CHUNK", 8 * 16)
    assert_paths_agree(values_and_gradients(expectation_values, circuit, *case), whole)


@pytest.mark.parametrize("tokens", [1, 8, 15, 16, 17, 33, 50])
def test_tokens_shared_out_to_threads(monkeypatch, tokens):
    circuit = crz_ring_ansatz(4, 2)
    case = random_case(circuit, tokens=tokens)
    monkeypatch.setattr("qweft.circuit.cpu.compiled.WORK_OF_A_THREAD", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = values_and_gradients(expectation_values, circuit, *case)
    finally:
        torch.set_num_threads(before)
    assert_paths_agree(found, values_and_gradients(gate_by_gate, circuit, *case))


@pytest.mark.parametrize("qubits", [1, 4, 7])
def test_shapes_types_and_second_use(path, qubits):
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
    assert not torch.autograd.grad(empty.sum(), parameters)[0].any()
    first = torch.autograd.grad(flat.sum(), parameters, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(flat.sum(), parameters)[0], first)
    with torch.no_grad():
        torch.testing.assert_close(expectation_values(circuit, inputs, parameters), flat)
    with torch.inference_mode():
        torch.testing.assert_close(expectation_values(circuit, inputs, parameters), flat)


def test_a_circuit_that_was_first_used_in_inference_mode_has_second_derivatives():
    """What is kept for later calls must not be a tensor of inference mode."""
    circuit = crz_ring_ansatz(3, 5)
    inputs, parameters, _ = random_case(circuit, tokens=4)
    for kept in (alternating_form, basis_signs, eigenbasis, precision._moved):
        kept.cache_clear()
    with torch.inference_mode():
        expectation_values(circuit, inputs, parameters)
        expectation_values(circuit, inputs.float(), parameters.float())
    for dtype in (torch.float64, torch.float32):
        x, t = (tensor.detach().to(dtype).requires_grad_() for tensor in (inputs, parameters))
        (first,) = torch.autograd.grad(expectation_values(circuit, x, t).sum(), t, create_graph=True)
        assert torch.autograd.grad(first.sum(), t)[0].any()
        assert torch.func.hessian(lambda t, x=x: expectation_values(circuit, x, t).sum())(t.detach()).any()


@pytest.mark.parametrize("qubits", [4, 7])
@pytest.mark.parametrize("scale", [1, 500])
def test_float32_and_autocast_keep_six_digits(path, qubits, scale):
    circuit = crz_ring_ansatz(qubits, 3)
    inputs, parameters, weights = random_case(circuit, tokens=20)
    inputs = (inputs.detach() * scale).float().double().requires_grad_()  # what float32 can hold
    exact = values_and_gradients(expectation_values, circuit, inputs, parameters, weights)
    single = [tensor.detach().float().requires_grad_() for tensor in (inputs, parameters)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = expectation_values(circuit, *single)
    assert values.dtype == torch.float32
    found = values, *torch.autograd.grad((values * weights.float()).sum(), single)
    for one, other, tolerance in zip(found, exact, (2e-6, 2e-5, 2e-5), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=tolerance * other.abs().max().clamp(min=1).item())
    half = expectation_values(circuit, inputs.detach().bfloat16(), parameters.detach().bfloat16())
    assert half.dtype == torch.float32


def test_no_state_is_kept_between_forward_and_backward(path):
    """What the graph holds is the arguments, not one state a token."""
    circuit = crz_ring_ansatz(6, 4)
    inputs, parameters, _ = random_case(circuit, tokens=2000)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        expectation_values(circuit, inputs, parameters)
    assert max(kept) < 2000 * 64


def test_a_compiled_model_calls_the_engine_as_one_operator():
    inputs, rotations, diagonals = torch.randn(5, 3), torch.randn(3, 3), torch.randn(2, 8)
    tensors = [tensor.requires_grad_() for tensor in (inputs, rotations, diagonals)]
    torch.library.opcheck(engine.opaque, (tensors, engine.Blocks((True, False, True)).text))
    circuit = crz_ring_ansatz(3, 2)
    x, t, _ = random_case(circuit)
    torch.library.opcheck(engine.opaque, ([x, t], circuit.text))


def test_a_wrong_shape_is_named():
    circuit = crz_ring_ansatz(4, 1)
    with pytest.raises(ValueError, match=r"inputs \(\.\.\., 4\).*got \(2, 3\)"):
        expectation_values(circuit, torch.zeros(2, 3), torch.zeros(16))


@pytest.mark.parametrize("qubits", [1, 2, 3, 5, 7, 8, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_half_angles_near_a_right_angle(qubits, dtype):
    """There the tangents that turn a block would overflow; such blocks are turned by shears."""
    circuit = crz_ring_ansatz(qubits, 3)
    near = torch.tensor([0, 1e-7, 1e-4, 3e-3, 0.01, 0.02, 0.1, -1e-4, -0.01, 1], dtype=torch.float64)
    inputs = (torch.pi - near)[:, None].expand(-1, qubits).repeat(4, 1)
    parameters = torch.zeros(circuit.parameters, dtype=torch.float64)
    parameters[::3] = 1e-3
    found, wanted = [], []
    for function, results, kind in ((expectation_values, found, dtype), (gate_by_gate, wanted, torch.float64)):
        arguments = [tensor.to(kind).requires_grad_() for tensor in (inputs, parameters)]
        values = function(circuit, *arguments)
        results += [values, *torch.autograd.grad(values.sum(), arguments)]
    tolerance = 1e-11 if dtype == torch.float64 else 2e-4
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=tolerance, atol=tolerance)
