"""`QuantumLayer`: shapes, PyTorch's machinery, shots, noise, and that it needs torch, numpy and numba alone."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from qweft import QuantumLayer, QweftError, c, circuit_of, t
from qweft.circuit import crz_ring_ansatz, gate_by_gate, hardware_efficient_ansatz
from qweft.circuit.formats import from_openqasm3
from qweft.devices import DeviceSettings, Measurer, make_device
from qweft.devices.noise.model import PAPER

GATES = [("ry", i, c(i)) for i in range(3)] + [("crx", 0, 1, t(0)), ("rzz", 1, 2, t(1)), ("h", 0), ("ry", 2, 2 * t(2))]
CIRCUITS = {
    "recorded": crz_ring_ansatz(3, 2),
    "hardware-efficient": hardware_efficient_ansatz(3, 2),
    "products": circuit_of(3, *GATES, measured=["X0", "Z1 Z2", "Y2", "Z0"]),
    "probabilities": circuit_of(3, *GATES, measured="probabilities"),
}


@pytest.fixture(params=CIRCUITS)
def layer(request):
    return QuantumLayer(CIRCUITS[request.param], generator=torch.Generator().manual_seed(1))


def wanted(layer, x):
    return gate_by_gate(layer.circuit, x.reshape(-1, 3), layer.weight).reshape(*x.shape[:-1], layer.circuit.outputs)


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3), (0, 3)])
def test_any_leading_axes(layer, shape):
    x = torch.randn(shape)
    torch.testing.assert_close(layer(x), wanted(layer, x))


def test_it_is_saved_copied_and_in_double_precision(layer):
    again = QuantumLayer(layer.circuit)
    again.load_state_dict(layer.state_dict())
    x = torch.randn(4, 3)
    assert list(layer.state_dict()) == ["weight"]
    torch.testing.assert_close(again(x), layer(x))
    double = copy.deepcopy(layer).double()
    assert double(x.double()).dtype == torch.float64 == double(x).dtype
    torch.testing.assert_close(double(x.double()).float(), layer(x))


def test_gradients_are_exact(layer):
    layer = layer.double()
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: torch.func.functional_call(layer, {"weight": w}, x), (x, layer.weight))
    jacobian = torch.func.vmap(torch.func.jacrev(layer))(x)
    assert jacobian.shape == (2, layer.circuit.outputs, 3)


def test_autocast_leaves_it_exact(layer):
    x = torch.randn(6, 3)
    with torch.autocast("cpu", torch.bfloat16):
        values = layer(x)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, wanted(layer, x))


def test_it_compiles_without_a_graph_break(layer):
    model = nn.Sequential(nn.Linear(3, 3), layer)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(7, 3)
    torch.testing.assert_close(compiled(x), model(x))
    grads = []
    for each in (model, compiled):
        model.zero_grad()
        each(x).square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*grads)


def test_shots_are_frequencies_around_the_exact_values(layer):
    x = torch.randn(4, 3, requires_grad=True)
    exact = layer(x)
    sampled = QuantumLayer(layer.circuit, shots=400, generator=torch.Generator().manual_seed(3))
    sampled.load_state_dict(layer.state_dict())
    draws = torch.stack([sampled(x) for _ in range(200)])
    counts = draws.detach() * 400
    assert (counts - counts.round()).abs().max() < 1e-2
    spread = ((1 - exact**2) if layer.circuit.observables else exact * (1 - exact)).clamp_min(1e-9) / 400
    z = (draws.mean(0) - exact) / (spread / 200).sqrt()
    assert z.abs().max() < 5
    mine, other = (torch.autograd.grad(values.square().sum(), x)[0] for values in (draws[0], exact))
    assert mine.shape == other.shape and torch.isfinite(mine).all()


@pytest.mark.parametrize("name", ["recorded", "hardware-efficient", "products"])
def test_noise_is_that_of_the_noisy_device(name):
    layer = QuantumLayer(CIRCUITS[name], noise="paper").double()
    x = torch.randn(3, 3, dtype=torch.float64)
    device = Measurer(make_device("noisy", DeviceSettings()))
    torch.testing.assert_close(layer(x), device(layer.circuit, x, layer.weight.detach()))
    assert layer.noise == PAPER and torch.autograd.grad(layer(x).sum(), layer.weight)[0].abs().max() > 0


def test_noisy_probabilities_add_up():
    values = QuantumLayer(CIRCUITS["probabilities"], noise="paper")(torch.randn(5, 3))
    torch.testing.assert_close(values.sum(-1), torch.ones(5))


def test_it_is_drawn_and_written(layer):
    assert "RY(c0)" in layer.draw() and f"outputs={layer.circuit.outputs}" in repr(layer)
    again = from_openqasm3(layer.to_qasm())
    assert again.parameters == 0 and again.inputs == 3
    if layer.circuit.measured == "Z":
        x = torch.randn(5, 3)
        torch.testing.assert_close(QuantumLayer(again)(x), layer(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuantumLayer(hardware_efficient_ansatz(13, 1)), "13 qubits; a layer takes at most 12"),
        (lambda: QuantumLayer(hardware_efficient_ansatz(11, 1), noise="paper"), "at most 10"),
        (lambda: QuantumLayer(circuit_of(1, ("h", 0))), "no inputs and no parameters"),
        (lambda: QuantumLayer(CIRCUITS["recorded"], shots=0), "shots is 0"),
        (lambda: QuantumLayer(CIRCUITS["recorded"], noise="loud"), "no noise model loud"),
        (lambda: QuantumLayer(CIRCUITS["recorded"])(torch.zeros(2, 4)), r"takes inputs \(..., 3\), got \(2, 4\)"),
    ],
)
def test_a_wrong_layer_gets_one_sentence(make, message):
    with pytest.raises(QweftError, match=message):
        make()


ALONE = """
import sys, time
import numpy, torch, numba
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in "peft transformers safetensors pydantic yaml annotated_types".split():
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
start = time.process_time()
from qweft import QuantumLayer, c, circuit_of, t
seconds = time.process_time() - start
layer = QuantumLayer(circuit_of(2, ("ry", 0, c(0)), ("cnot", 0, 1), ("rx", 1, t(0))), shots=10, noise="paper")
layer(torch.randn(4, 2)[:, :1]).sum().backward()
print(layer.draw(), layer.to_qasm())
print(seconds)
"""


def test_it_needs_torch_numpy_and_numba_alone():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 2
