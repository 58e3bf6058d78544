"""The circuit on a GPU against the CPU's engine: values, gradients, layouts, memory; the kernels' own are in
tests/circuit/test_fused.py.
"""

import pytest
import torch

from qweft.circuit import crz_ring_ansatz, engine, expectation_values
from qweft.circuit.gpu import fused
from qweft.circuit.precision import exact_products
from tests.gpu.device import DEVICE, HAS_CUDA, cuda_only, gpu, two_devices

pytestmark = gpu
# float32: an angle of rounding 6e-8 in each of 4 n L gates
TOLERANCES = {torch.float64: 1e-10, torch.float32: 3e-5}


def case_of(circuit, tokens, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = 2 * torch.randn(tokens, circuit.inputs, dtype=torch.float64, generator=generator)
    angles = 2 * torch.randn(circuit.parameters, dtype=torch.float64, generator=generator)
    weights = torch.randn(tokens, circuit.qubits, dtype=torch.float64, generator=generator)
    # rounded first, so that both devices get the same numbers
    return [tensor.to(dtype) for tensor in (inputs, angles, weights)]


def results(circuit, case, place):
    inputs, angles, weights = (tensor.to(place) for tensor in case)
    inputs.requires_grad_(), angles.requires_grad_()
    values = expectation_values(circuit, inputs, angles)
    gradients = torch.autograd.grad((values * weights).sum(), [inputs, angles])
    assert all(tensor.device == inputs.device for tensor in (values, *gradients))
    return [tensor.detach().cpu().double() for tensor in (values, *gradients)]


def check(circuit, tokens, dtype, seed=0):
    case = case_of(circuit, tokens, dtype, seed)
    wanted = results(circuit, [tensor.double() for tensor in case], torch.device("cpu"))
    for found, exact in zip(results(circuit, case, DEVICE), wanted, strict=True):
        # the angles' gradients are sums over all tokens
        size = max(1.0, exact.abs().max().item()) if exact.numel() else 1.0
        torch.testing.assert_close(found, exact, rtol=0, atol=TOLERANCES[dtype] * size)


@cuda_only
def test_the_engine_is_the_fused_one():
    assert fused.available(DEVICE), "Triton compiles no kernel here"
    assert engine.kernels_for(fused.MAX_QUBITS, DEVICE).__name__.endswith("fused_kernels")


@pytest.mark.parametrize("tokens", [0, 1, 33])
@pytest.mark.parametrize("qubits", range(1, 13) if HAS_CUDA else [3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equals_the_cpu(qubits, tokens, dtype):
    check(crz_ring_ansatz(qubits, 2), tokens, dtype, seed=qubits)


@cuda_only
@pytest.mark.parametrize(("qubits", "tokens"), [(4, 40_000), (8, 5_000)])
def test_many_tokens(qubits, tokens):
    """More tiles than programs, so that each adds several."""
    check(crz_ring_ansatz(qubits, qubits), tokens, torch.float32)


def test_the_same_sums_on_every_run():
    circuit = crz_ring_ansatz(4, 4)
    case = case_of(circuit, 3000, torch.float32)
    first, second = results(circuit, case, DEVICE), results(circuit, case, DEVICE)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_leaves_a_circuit_alone(dtype):
    circuit = crz_ring_ansatz(4, 4)
    inputs, angles, _ = (tensor.to(DEVICE) for tensor in case_of(circuit, 30, torch.float32))
    wanted = expectation_values(circuit, inputs, angles)
    with torch.autocast(DEVICE.type, dtype=dtype):
        assert torch.equal(expectation_values(circuit, inputs, angles), wanted)


@cuda_only
@pytest.mark.parametrize("qubits", [4, 13])
def test_tf32_is_off_in_circuits_and_on_again_after_them(qubits):
    if torch.cuda.get_device_capability(DEVICE) < (8, 0):
        pytest.skip("this card has no TF32")
    circuit = crz_ring_ansatz(qubits, 2)
    case = [tensor.to(DEVICE) for tensor in case_of(circuit, 5, torch.float32)]
    wanted = expectation_values(circuit, *case[:2])
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        assert torch.equal(expectation_values(circuit, *case[:2]), wanted)
        square = torch.randn(512, 512, device=DEVICE)
        coarse = square @ square
        with exact_products(DEVICE):
            fine = square @ square
        exact = (square.double() @ square.double()).float()
        assert (fine - exact).abs().max() < (coarse - exact).abs().max() / 10
        assert torch.equal(square @ square, coarse)
    finally:
        torch.set_float32_matmul_precision(before)


@cuda_only
def test_nothing_that_grows_with_the_states_is_kept():
    circuit, tokens = crz_ring_ansatz(8, 4), 2**17
    inputs, angles, weights = (tensor.to(DEVICE) for tensor in case_of(circuit, tokens, torch.float32))
    inputs.requires_grad_(), angles.requires_grad_()
    torch.cuda.reset_peak_memory_stats(DEVICE)
    before = torch.cuda.memory_allocated(DEVICE)
    torch.autograd.grad((expectation_values(circuit, inputs, angles) * weights).sum(), [inputs, angles])
    rise = torch.cuda.max_memory_allocated(DEVICE) - before
    assert rise < tokens * 2**8 * 8 / 2  # half of one state of every token


@cuda_only
def test_on_a_side_stream():
    circuit = crz_ring_ansatz(4, 4)
    case = case_of(circuit, 4096, torch.float32)
    wanted = results(circuit, case, DEVICE)
    stream = torch.cuda.Stream(DEVICE)
    with torch.cuda.stream(stream):
        inputs, angles, weights = (tensor.pin_memory().to(DEVICE, non_blocking=True) for tensor in case)
        inputs.requires_grad_(), angles.requires_grad_()
        values = expectation_values(circuit, inputs, angles)
        found = [values, *torch.autograd.grad((values * weights).sum(), [inputs, angles])]
    stream.synchronize()
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.detach().cpu().double(), other)


@cuda_only
def test_in_a_cuda_graph():
    circuit = crz_ring_ansatz(4, 4)
    case = [tensor.to(DEVICE) for tensor in case_of(circuit, 512, torch.float32)]
    inputs, angles, weights = (case[0].clone().requires_grad_(), case[1].clone().requires_grad_(), case[2])

    def work():
        values = expectation_values(circuit, inputs, angles)
        return values, *torch.autograd.grad((values * weights).sum(), [inputs, angles])

    side = torch.cuda.Stream(DEVICE)
    side.wait_stream(torch.cuda.current_stream(DEVICE))
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream(DEVICE).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = work()
    with torch.no_grad():
        inputs.mul_(0.5), angles.add_(0.1)
    graph.replay()
    torch.cuda.synchronize(DEVICE)
    for one, other in zip(captured, work(), strict=True):
        assert torch.equal(one, other)


@cuda_only
def test_a_call_waits_for_nothing():
    circuit = crz_ring_ansatz(4, 4)
    inputs, angles, _ = (tensor.to(DEVICE).requires_grad_() for tensor in case_of(circuit, 512, torch.float32))
    expectation_values(circuit, inputs, angles).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        expectation_values(circuit, inputs, angles).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@two_devices
def test_on_a_device_that_is_not_the_current_one():
    circuit = crz_ring_ansatz(4, 4)
    case = case_of(circuit, 333, torch.float32)
    wanted = results(circuit, case, DEVICE)
    assert torch.cuda.current_device() == 0
    for one, other in zip(results(circuit, case, torch.device("cuda:1")), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
