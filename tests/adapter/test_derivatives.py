"""Second derivatives, forward mode and transforms of torch.func through adapted layers: right, or an error."""

from types import SimpleNamespace

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from peft import get_peft_model
from torch import nn
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vmap

from qweft import QwthnConfig, find_bases, presets
from qweft.circuit import crz_ring_ansatz, dense, engine, expectation_values, gate_by_gate
from tests.rounding import assert_close

DIFFERENCES = 1e9
"""Roundings between a derivative and central differences: a relative 2e-7."""
NAMES = ["qtha", "qwthn", "quantum_lora", "subspace", "readout", "sparse"]  # every map and every form of a core
NAMES += ["quantum_gated", "product_linear", "mlp_linear", "fourier_weighted"]


class Net(nn.Module):
    """Two adapted layers of one form and one of another, called as transformers' models are."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.config, self.device = {"model_type": "net"}, torch.device("cpu")

    def forward(self, x, labels=None):
        y = self.third(torch.tanh(self.second(torch.tanh(self.first(x)))))
        return y if labels is None else SimpleNamespace(loss=(y - labels).square().mean())


X = torch.linspace(-1, 1, 18, dtype=torch.float64).view(3, 6)


def net(name):
    sizes = {
        "r": 2,
        "width": 4,
        "bond_dimension": 2,
        "circuit_layers": 2,
        "target_modules": ["first", "second", "third"],
    }
    config = QwthnConfig.preset(name, **sizes) if name in presets() else QwthnConfig(core=name, **sizes)
    torch.manual_seed(1)
    model = get_peft_model(Net().double(), config)
    if config.has_fixed_map:
        find_bases(model, [{"x": X, "labels": X[:, :4]}])
    for parameter in trained(model).values():
        nn.init.normal_(parameter, std=0.5)
    return model


def trained(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def penalty(model, x):
    """A loss with the gradient of a loss in it."""
    (to_x,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    return to_x.square().sum()


def slope(function, tensors, directions, step=1e-5):
    """The derivative of a function of tensors along directions, by central differences."""
    ends = [function([t + sign * step * d for t, d in zip(tensors, directions, strict=True)]) for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * step)


def directions_of(tensors):
    torch.manual_seed(2)
    return [torch.randn_like(tensor) for tensor in tensors]


def with_parameters(model, function):
    """A function of the trained tensors that puts them into the model in place."""

    def call(tensors):
        with torch.no_grad():
            for parameter, tensor in zip(trained(model).values(), tensors, strict=True):
                parameter.copy_(tensor)
        return function()

    return call


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by", ["backward", "autograd.grad"])
def test_a_gradient_penalty_has_the_gradient_of_finite_differences(name, by):
    model = net(name)
    x = X.clone().requires_grad_()
    parameters = list(trained(model).values())
    if by == "backward":
        penalty(model, x).backward()
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    else:
        found = torch.autograd.grad(penalty(model, x), parameters, allow_unused=True, materialize_grads=True)
    start = [p.detach().clone() for p in parameters]
    directions = directions_of(start)
    wanted = slope(with_parameters(model, lambda: penalty(model, x).detach()), start, directions)
    assert wanted.abs() > 1e-3
    assert_close(sum((f * d).sum() for f, d in zip(found, directions, strict=True)), wanted, DIFFERENCES)


@pytest.mark.parametrize("name", NAMES)
def test_a_product_with_the_hessian(name):
    model = net(name)
    parameters = list(trained(model).values())

    def gradient():
        return torch.autograd.grad(model(X).square().sum(), parameters, create_graph=True)

    directions = directions_of(parameters)
    inner = sum((g * d).sum() for g, d in zip(gradient(), directions, strict=True))
    found = torch.autograd.grad(inner, parameters, allow_unused=True, materialize_grads=True)
    start = [p.detach().clone() for p in parameters]
    call = with_parameters(model, lambda: torch.cat([g.detach().flatten() for g in gradient()]))
    wanted = slope(call, start, directions)
    assert wanted.abs().max() > 1e-3
    assert_close(torch.cat([f.flatten() for f in found]), wanted, DIFFERENCES)


@pytest.mark.parametrize("name", NAMES)
def test_transforms_of_torch_func(name):
    model = net(name)
    tensors = {key: parameter.detach() for key, parameter in trained(model).items()}

    def loss(tensors, x):
        return functional_call(model, tensors, (x,)).square().sum()

    model(X).square().sum().backward()
    wanted = {key: parameter.grad for key, parameter in trained(model).items()}
    found = grad(loss)(tensors, X)
    rows = vmap(grad(loss), in_dims=(None, 0))(tensors, X[:, None])
    back = jacrev(loss)(tensors, X)
    for key, one in wanted.items():
        one = torch.zeros_like(tensors[key]) if one is None else one
        assert_close(found[key], one)
        assert_close(back[key], one)
        assert_close(rows[key].sum(0), one)
    directions = dict(zip(tensors, directions_of(tensors.values()), strict=True))
    _, tangent = jvp(lambda tensors: loss(tensors, X), (tensors,), (directions,))
    assert_close(tangent, sum((found[key] * directions[key]).sum() for key in found))
    several = {key: torch.stack([tensor, tensor / 2]) for key, tensor in tensors.items()}
    ensemble = vmap(lambda tensors: functional_call(model, tensors, (X,)))(several)
    assert_close(ensemble[0], model(X).detach())
    assert_close(ensemble[1], functional_call(model, {key: t / 2 for key, t in tensors.items()}, (X,)).detach())
    assert_close(jacfwd(model)(X[0]), jacrev(model)(X[0]))


@pytest.mark.parametrize("name", ["qtha", "qwthn", "mpo", "quantum_gated"])
@pytest.mark.parametrize("frozen", [True, False])
def test_forward_mode_carries_tangents(name, frozen):
    model = net(name).requires_grad_(not frozen)
    direction = torch.ones_like(X)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(model(forward_ad.make_dual(X, direction))).tangent
    with torch.no_grad():
        wanted = slope(lambda tensors: model(tensors[0]), [X], [direction])
    assert_close(found, wanted, DIFFERENCES)


@pytest.mark.parametrize("path", ["compiled", "dense"])
@pytest.mark.parametrize("reupload", [True, False])
def test_second_derivatives_of_every_engine(path, reupload, monkeypatch):
    if path == "dense":
        monkeypatch.setattr(engine, "kernels_for", lambda qubits, device: dense)
    circuit = crz_ring_ansatz(3, 2, reupload)
    torch.manual_seed(0)
    arguments = torch.randn(4, 3).double(), torch.randn(circuit.parameters).double()
    for function in (gate_by_gate, expectation_values):
        # an argument that depends on the other one, too
        def total(inputs, angles, function=function):
            return function(circuit, inputs + angles[:3], angles).square().sum()

        found = torch.autograd.functional.hessian(total, arguments)
        if function is gate_by_gate:
            wanted = found
        else:  # many gradients at once
            at_once = torch.autograd.functional.hessian(total, arguments, vectorize=True)
            for one, other in zip((t for row in at_once for t in row), (t for row in found for t in row), strict=True):
                assert_close(one, other)
    for one, other in zip((t for row in found for t in row), (t for row in wanted for t in row), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_many_gradients_at_once_are_those_of_one_at_a_time(name):
    model, x = net(name).eval(), X[:2].clone().requires_grad_()
    together, apart = (torch.autograd.functional.jacobian(model, x, vectorize=each) for each in (True, False))
    assert_close(together, apart)
    together, apart = (
        torch.autograd.functional.hessian(lambda x: model(x).square().sum(), x, vectorize=each)
        for each in (True, False)
    )
    assert_close(together, apart)
    values, parameters = model(x)[0], list(trained(model).values())
    rows = torch.eye(4, dtype=torch.float64)
    together = torch.autograd.grad(values, parameters, rows, is_grads_batched=True, retain_graph=True)
    apart = [torch.autograd.grad(values, parameters, row, retain_graph=True) for row in rows]
    for place, each in enumerate(together):
        assert_close(each, torch.stack([found[place] for found in apart]))
        assert not each.requires_grad
    mapped = torch.func.vmap(lambda row: torch.autograd.grad(values, parameters, row, retain_graph=True))(rows)
    for each, other in zip(mapped, together, strict=True):
        assert_close(each, other)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mlp_linear"])  # nor has SiLU any
def test_a_backward_pass_carries_the_tangents_of_its_gradient(name):
    model, x = net(name).eval(), X[:2].clone().requires_grad_()
    arguments = [x, *trained(model).values()]
    values = model(x)[0]
    gradient, tangent = torch.linspace(-1, 1, 8, dtype=torch.float64).view(2, 4)
    wanted = torch.autograd.grad(values, arguments, tangent, retain_graph=True)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(gradient, tangent)
        found = torch.autograd.grad(values, arguments, dual, retain_graph=True)
        for each, other in zip(found, wanted, strict=True):  # a backward pass is linear in its gradient
            assert_close(forward_ad.unpack_dual(each).tangent, other)
