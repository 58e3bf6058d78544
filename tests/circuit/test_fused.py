"""The Triton kernels: in Triton's interpreter on the CPU, on a GPU where there is one, and through its compiler.

Triton reads TRITON_INTERPRET when it is imported, and torch may have imported it before this file. So the checks run in
a child process that has the variable set; there, and on a GPU here, they are the class `TestKernels`.
"""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, engine, gate_by_gate
from qweft.circuit.alternating import alternating_form
from qweft.circuit.gpu import fused
from qweft.circuit.gpu.fused import MAX_QUBITS, available

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
INSTALLED = importlib.util.find_spec("triton") is not None
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-5}

needs_triton = pytest.mark.skipif(not INSTALLED, reason="Triton is not installed")


def by_blocks(inputs, rotations, diagonals, uploads):
    from qweft.circuit.gpu import fused_kernels

    return engine.run(engine.Blocks(uploads, fused_kernels), inputs, rotations, diagonals)


def by_triton(circuit, inputs, parameters):
    form = alternating_form(circuit)
    rotations, diagonals = form.angles(parameters)
    return by_blocks(form.uploaded(inputs), rotations, diagonals, form.uploads)


def random_case(circuit, tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(tokens, circuit.inputs, dtype=torch.float64, generator=generator) * 2
    parameters = torch.randn(circuit.parameters, dtype=torch.float64, generator=generator) * 2
    weights = torch.randn(tokens, circuit.qubits, dtype=torch.float64, generator=generator)
    return inputs, parameters, weights


def values_and_gradients(function, circuit, case, dtype, device):
    inputs, parameters, weights = (tensor.to(device, dtype) for tensor in case)
    inputs.requires_grad_()
    parameters.requires_grad_()
    values = function(circuit, inputs, parameters)
    gradients = torch.autograd.grad((values * weights).sum(), [inputs, parameters])
    return [tensor.detach().cpu().double() for tensor in (values, *gradients)]


def check(circuit, tokens, dtype, seed=0):
    case = random_case(circuit, tokens, seed)
    found = values_and_gradients(by_triton, circuit, case, dtype, DEVICE)
    wanted = values_and_gradients(gate_by_gate, circuit, case, torch.float64, torch.device("cpu"))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


@pytest.mark.gpu
class TestKernels:
    """Collected in the child process, and where there is a GPU."""

    __test__ = INSTALLED and (INTERPRETED or torch.cuda.is_available())

    @pytest.mark.parametrize("reupload", [True, False])
    @pytest.mark.parametrize(
        ("qubits", "layers", "tokens"),
        [(1, 1, 33), (1, 3, 7), (2, 1, 33), (2, 4, 7), (3, 1, 33), (3, 3, 7), (4, 2, 17), (5, 1, 9), (6, 1, 7)],
    )
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_equals_gate_by_gate(self, qubits, layers, tokens, reupload, dtype):
        check(crz_ring_ansatz(qubits, layers, reupload), tokens, dtype, seed=qubits + layers)

    @pytest.mark.skipif(INTERPRETED, reason="slow in the interpreter")
    @pytest.mark.parametrize("qubits", range(7, MAX_QUBITS + 1))
    def test_many_qubits(self, qubits):
        check(crz_ring_ansatz(qubits, 2), 33, torch.float64)
        check(crz_ring_ansatz(qubits, 2), 33, torch.float32)

    def test_no_token(self):
        circuit = crz_ring_ansatz(4, 2)
        values, to_inputs, to_parameters = values_and_gradients(
            by_triton, circuit, random_case(circuit, 0), torch.float64, DEVICE
        )
        assert values.shape == to_inputs.shape == (0, 4)
        assert to_parameters.shape == (circuit.parameters,) and not to_parameters.any()

    def test_several_tiles_a_program(self, monkeypatch):
        from qweft.circuit.gpu import fused_kernels

        tile = fused_kernels.TILES[3]._replace(tokens=2, programs=1)
        monkeypatch.setitem(fused_kernels.TILES, 3, tile)
        monkeypatch.setattr(fused_kernels, "_multiprocessors", lambda device: 3)  # 7 tiles for 3 programs
        check(crz_ring_ansatz(3, 2), 7, torch.float64)

    def test_partial_sums_have_a_bound(self, monkeypatch):
        from qweft.circuit.gpu import fused_kernels

        monkeypatch.setattr(fused_kernels, "PARTIAL_BYTES", 0)
        check(crz_ring_ansatz(3, 2), 33, torch.float64)

    def test_without_a_diagonal(self):
        gates = (Gate("ry", (0,), "input", 0), Gate("ry", (1,), "input", 1), Gate("ry", (1,), "parameter", 0))
        check(Circuit(2, 2, 1, gates), 5, torch.float64)

    def test_without_an_upload(self):
        gates = (
            Gate("ry", (0,), "parameter", 0),
            Gate("crz", (0, 1), "parameter", 1),
            Gate("ry", (1,), "parameter", 2),
        )
        circuit = Circuit(2, 2, 3, gates)
        case = random_case(circuit, 5)
        found = values_and_gradients(by_triton, circuit, case, torch.float64, DEVICE)
        values = gate_by_gate(circuit, *case[:2])
        torch.testing.assert_close(found[0], values, rtol=0, atol=1e-10)
        assert not found[1].any()

    def test_any_phases(self):
        """Diagonals that no circuit makes, and each phase's own gradient: by gradcheck."""
        generator = torch.Generator().manual_seed(1)
        shapes = [(2, 2), (3, 2), (2, 4)]
        tensors = [torch.randn(*shape, dtype=torch.float64, generator=generator).to(DEVICE) for shape in shapes]
        for tensor in tensors:
            tensor.requires_grad_()
        assert torch.autograd.gradcheck(lambda *tensors: by_blocks(*tensors, (False, True, True)), tensors, atol=1e-7)

    def test_layouts_in_memory(self):
        circuit = crz_ring_ansatz(3, 2)
        inputs, parameters, weights = random_case(circuit, 9)
        form = alternating_form(circuit)
        rotations, diagonals = form.angles(parameters.to(DEVICE))
        wanted_inputs = inputs.to(DEVICE).requires_grad_()
        wanted = by_blocks(wanted_inputs, rotations, diagonals, form.uploads)
        (wanted_gradient,) = torch.autograd.grad((wanted * weights.to(DEVICE)).sum(), wanted_inputs)
        spread = torch.zeros(3, 20, dtype=torch.float64, device=DEVICE)
        spread[:, 1:19:2] = inputs.to(DEVICE).t()
        strided = spread.t()[1:19:2].detach().requires_grad_()
        strided_rotations = rotations.t().contiguous().t()
        strided_diagonals = diagonals.t().contiguous().t()
        assert not strided.is_contiguous()
        found = by_blocks(strided, strided_rotations, strided_diagonals, form.uploads)
        gradient = weights.t().contiguous().t().to(DEVICE)
        assert not gradient.is_contiguous()
        (found_gradient,) = torch.autograd.grad(found, strided, gradient)
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
        torch.testing.assert_close(found_gradient, wanted_gradient, rtol=0, atol=0)

    def test_the_gradient_of_the_gradient(self):
        circuit = crz_ring_ansatz(2, 1)
        inputs, parameters, _ = (tensor.to(DEVICE) for tensor in random_case(circuit, 3))
        arguments = inputs.requires_grad_(), parameters.requires_grad_()
        found, wanted = (
            torch.autograd.grad(
                torch.autograd.grad(function(circuit, *arguments).square().sum(), inputs, create_graph=True)[0].sum(),
                arguments,
            )
            for function in (by_triton, gate_by_gate)
        )
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_without_gradients(self, mode):
        circuit = crz_ring_ansatz(3, 1)
        inputs, parameters, _ = (tensor.to(DEVICE) for tensor in random_case(circuit, 9))
        with mode():
            values = by_triton(circuit, inputs, parameters)
        assert not values.requires_grad
        torch.testing.assert_close(values, gate_by_gate(circuit, inputs, parameters), rtol=0, atol=1e-10)

    def test_available(self):
        assert available(DEVICE)
        assert not available(torch.device("meta"))


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="this is the child process")
def test_in_the_interpreter():
    child = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"{__file__}::TestKernels"],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert child.returncode == 0, child.stdout + child.stderr


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from qweft.circuit.gpu.fused_kernels import TILES, backward_kernel, forward_kernel

tile = TILES[4]
for kernel in (forward_kernel, backward_kernel):
    fixed = {name: value for name, value in dict(n=4, ROWS=4, BLOCK=tile.tokens).items() if name in kernel.arg_names}
    kinds = dict.fromkeys(kernel.arg_names, "*fp32") | dict.fromkeys(fixed, "constexpr")
    kinds |= dict(uploads="*i32", tokens="i32", layers="i32", tiles="i32")
    source = ASTSource(kernel, kinds, constexprs=fixed)
    built = compile(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": tile.warps})
    assert built.asm["cubin"]
    print(kernel.__name__, built.metadata.shared)
"""


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="this is the child process")
def test_compiles_for_a_gpu_that_is_not_there(tmp_path):
    """Down to machine code: Triton brings its assembler along."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    child = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.split()[::2] == ["forward_kernel", "backward_kernel"]


@needs_triton
def test_gpus_take_the_fused_engine_where_it_is_available(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(fused, "available", lambda device: device == gpu)
    assert engine.kernels_for(4, gpu).__name__.endswith("fused_kernels")
    assert engine.kernels_for(MAX_QUBITS + 1, gpu).__name__.endswith("dense")
