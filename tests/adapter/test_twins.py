"""The twins that stand in the circuit's place: what they compute, where they start, and that a file keeps them."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from qweft import QwthnConfig
from qweft.adapter import QwthnLinear
from qweft.adapter.functions import make_function
from qweft.circuit import crz_ring_ansatz, gate_by_gate
from qweft.method.names import TWINS
from tests.rounding import assert_close

FORMS = ("", "_linear", "_weighted", "_gated")


def function_and_tensors(name, r, layers, reupload=True, start="recorded", seed=0, **more):
    """A function with its tensors at the start, in float64."""
    core = f"{name}_linear"
    function = make_function(
        name, QwthnConfig(core=core, r=r, circuit_layers=layers, reupload=reupload, **more).resolved()
    )
    function.make_ready()
    torch.manual_seed(seed)
    angles = torch.empty(function.ansatz.parameters).uniform_(-3, 3).double()
    found = function.start(angles, start)
    return function, angles, [found[key] for key in (*function.trained, *function.fixed)]


def applied(function, tensors, c):
    return function.values(c, *function.prepare(tensors))


def branch(core, seed=0, start="recorded", r=4, layers=2, **more):
    torch.manual_seed(seed)
    config = QwthnConfig.preset(
        "qtha", core=core, r=r, circuit_layers=layers, width=16, bond_dimension=4, start=start, **more
    )
    return QwthnLinear(nn.Linear(64, 32, bias=False), "default", config, r, None)


@pytest.mark.parametrize("name", ["quantum", *TWINS])
def test_autocast_rounds_neither_the_circuit_nor_its_twins(name):
    """Nor under a transformation, which goes another way: else a comparison under autocast would be of roundings."""
    layer = branch(f"{name}_linear", init_weights=False)
    core, angles = layer.qwthn_core["default"], layer.prepared("default").angles
    angles, c = [angle.detach() for angle in angles], torch.randn(50, 4)

    def values(x):
        return core.function_values(x, *angles)

    plain, plain_tangents = torch.func.jvp(values, (c,), (torch.ones_like(c),))
    with torch.autocast("cpu", torch.bfloat16):
        found, tangents = torch.func.jvp(values, (c,), (torch.ones_like(c),))
        assert torch.equal(values(c), values(c.clone()))
        assert_close(values(c), plain)
    assert torch.equal(found, plain) and torch.equal(tangents, plain_tangents)


@pytest.mark.parametrize("reupload", [True, False])
@pytest.mark.parametrize("r", [1, 2, 4])
def test_product_is_a_cosine_on_each_qubit(r, reupload):
    function, angles, tensors = function_and_tensors("product", r, 3, reupload)
    c = torch.randn(50, r, dtype=torch.float64)
    found = applied(function, tensors, c)
    uploads = 3 if reupload else 1
    torch.testing.assert_close(found, (uploads * c + function.phases(angles)).cos(), rtol=0, atol=1e-10)
    torch.testing.assert_close(found, gate_by_gate(function.circuit, c, tensors[0]), rtol=0, atol=1e-10)
    assert all(gate.name == "ry" for gate in function.circuit.gates)


def test_frozen_is_the_circuit_itself_with_angles_that_are_no_parameters():
    frozen, trained = branch("frozen_linear"), branch("quantum_linear")
    cores = [layer.qwthn_core["default"] for layer in (frozen, trained)]
    assert torch.equal(cores[0].angles, cores[1].angles)
    assert "angles" not in dict(cores[0].named_parameters()) and "angles" in cores[0].state_dict()
    c = torch.randn(20, 4)
    values = [core.function_values(c, *core.angles_of(core.tensors())) for core in cores]
    assert torch.equal(*values)


@pytest.mark.parametrize("start", ["recorded", "scaled"])
@pytest.mark.parametrize("form", FORMS)
def test_everything_around_the_twin_starts_as_around_the_circuit(form, start):
    wanted = branch(f"quantum{form}", start=start)
    for twin in TWINS:
        found = branch(f"{twin}{form}", start=start)
        for container in ("qwthn_compress", "qwthn_core", "qwthn_expand"):
            state = getattr(wanted, container).state_dict()
            for key, tensor in getattr(found, container).state_dict().items():
                if not any(own in key for own in ("mlp", "silu", "fourier", "angles", "constant")):
                    assert torch.equal(tensor, state[key]), (twin, key)
        x = torch.randn(3, 64)
        assert torch.equal(found(x), found.base_layer(x))  # no change before the first step


@pytest.mark.parametrize(("n", "layers"), [(1, 1), (1, 4), (2, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("reupload", [True, False])
def test_fourier_twin_can_be_a_random_circuit(n, layers, reupload):
    """With (2 U + 1)^(n - 1) products: the circuit's coefficients, read off a grid, put into the twin's."""
    uploads = layers if reupload else 1
    basis = 2 * uploads + 1
    circuit, _, angles = function_and_tensors("quantum", n, layers, reupload, seed=layers)
    twin, _, _ = function_and_tensors("fourier", n, layers, reupload, fourier_terms=basis ** (n - 1))
    grid = 2 * np.pi * np.arange(basis) / basis
    points = torch.tensor(np.array(list(itertools.product(grid, repeat=n))))
    values = applied(circuit, angles, points)  # (basis^n, n)
    one = twin.basis(torch.tensor(grid)[:, None])[:, 0]  # (points, basis): the same for each input
    inverse = torch.linalg.inv(one)
    coefficients = torch.zeros(twin.trained["fourier_coefficients"], dtype=torch.float64)
    if n == 1:
        coefficients[0, 0, 0] = inverse @ values[:, 0]
    else:
        for j in range(2):
            table = inverse @ values[:, j].reshape(basis, basis) @ inverse.T
            coefficients[torch.arange(basis), j, 0, torch.arange(basis)] = 1
            coefficients[:, j, 1] = table
    c = 10 * torch.randn(500, n, dtype=torch.float64)
    torch.testing.assert_close(applied(twin, [coefficients], c), applied(circuit, angles, c), rtol=0, atol=1e-9)


@pytest.mark.parametrize("start", ["recorded", "scaled"])
@pytest.mark.parametrize(("name", "fields"), [*(("fourier", {"fourier_terms": n}) for n in (1, 3)), ("bias", {})])
def test_fourier_starts_as_the_product_circuit_and_bias_as_that_of_a_zero_input(start, name, fields):
    twin, _, given = function_and_tensors(name, 3, 2, start=start, **fields)
    product, _, angles = function_and_tensors("product", 3, 2, start=start)
    c = torch.randn(30, 3, dtype=torch.float64)
    wanted = applied(product, angles, 0 * c if name == "bias" else c)
    torch.testing.assert_close(applied(twin, given, c), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("start", ["recorded", "scaled"])
def test_mlp_is_linear_layers_with_silu_between_them(start):
    function, angles, (weights, biases) = function_and_tensors("mlp", 4, 4, start=start)
    assert function.depth == 3  # 64 angles, 20 a layer
    layers = [nn.Linear(4, 4, dtype=torch.float64) for _ in range(3)]
    for layer, weight, bias in zip(layers, weights, biases, strict=True):
        layer.weight.data, layer.bias.data = weight, bias
    c = torch.randn(20, 4, dtype=torch.float64)
    wanted = layers[2](nn.SiLU()(layers[1](nn.SiLU()(layers[0](c)))))
    torch.testing.assert_close(applied(function, [weights, biases], c), wanted, rtol=0, atol=1e-12)
    at_zero = applied(function, [weights, biases], torch.zeros(1, 4, dtype=torch.float64))
    torch.testing.assert_close(at_zero[0], function.phases(angles).cos())


def test_silu_is_two_linear_layers_without_bias_as_in_the_authors_code():
    function, _, (weights,) = function_and_tensors("silu", 4, 4)
    first, second = (nn.Linear(4, 4, bias=False, dtype=torch.float64) for _ in range(2))
    first.weight.data, second.weight.data = weights
    c = torch.randn(20, 4, dtype=torch.float64)
    torch.testing.assert_close(applied(function, [weights], c), second(nn.SiLU()(first(c))), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["quantum", *TWINS])
def test_gradients_to_c_and_to_all_that_is_trained(name):
    function, _, tensors = function_and_tensors(name, 3, 2, **({"fourier_terms": 2} if name == "fourier" else {}))
    tensors = [tensor.requires_grad_() for tensor in tensors]
    c = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c, *t: applied(function, list(t), c), (c, *tensors))
    for tensor in torch.autograd.grad(applied(function, tensors, c).square().sum(), tensors):
        assert tensor.abs().max() > 0


@pytest.mark.parametrize("r", [1, 2, 4, 10])
@pytest.mark.parametrize("layers", [1, 2, 10])
def test_sizes_are_the_nearest_to_the_circuits(r, layers):
    angles = crz_ring_ansatz(r, layers).parameters
    at = QwthnConfig(r=r, circuit_layers=layers).resolved()
    mlp, fourier = make_function("mlp", at), make_function("fourier", at)
    linear = r * r + r
    sizes = {depth: abs(depth * linear - angles) for depth in range(2, 4 * layers + 3)}
    assert sizes[mlp.depth] == min(sizes.values())
    term = r * r * (2 * layers + 1)
    sizes = {terms: abs(terms * term - angles) for terms in range(1, 20)}
    assert sizes[fourier.terms] == min(sizes.values())
