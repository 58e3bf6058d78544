"""How large everything is when training starts, and that the recorded start draws what it always drew."""

import math

import pytest
import torch
from torch import nn

from qweft import QwthnConfig
from qweft.adapter import QwthnLinear

SIZES = [(576, 192), (1009, 576)]
SHAPES = [(4, 1, 16, 4), (8, 4, 64, 8), (10, 10, 256, 8), (4, 2, 256, 8)]


def rms(tensor):
    return tensor.detach().square().mean().sqrt().item()


def layers(preset, sizes=(576, 192), r=4, depth=2, width=16, bond=4, draws=8, **changes):
    """Several random starts of one branch."""
    config = QwthnConfig.preset(
        preset, r=r, circuit_layers=depth, width=width, bond_dimension=bond, **{"start": "scaled", **changes}
    )
    made = []
    for seed in range(draws):
        torch.manual_seed(seed)
        base = nn.Linear(*sizes, bias=False)
        made.append(QwthnLinear(base, "default", config, r, None))
    return made


def parts(layer):
    return layer.qwthn_compress["default"], layer.qwthn_core["default"], layer.qwthn_expand["default"]


def circuit(core, c):
    return core.function_values(c, *core.angles_of(core.tensors()))


def mean_square(values):
    return math.sqrt(sum(value**2 for value in values) / len(values))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("r", "depth", "width", "bond"), SHAPES)
@pytest.mark.parametrize("preset", ["qtha", "qwthn"])
def test_compress_gives_the_circuit_angles_of_its_scale(preset, r, depth, width, bond, sizes):
    found = []
    for layer in layers(preset, sizes, r, depth, width, bond):
        found.append(rms(torch.randn(64, layer.in_features) @ parts(layer)[0].matrix().t()))
    assert 0.75 < mean_square(found) * math.sqrt(depth) < 1.33
    assert all(0.4 < value * math.sqrt(depth) < 2.5 for value in found)


@pytest.mark.parametrize(("start", "least", "most"), [("scaled", 0.35, 0.8), ("recorded", 0, 0.2)])
def test_the_spread_of_a_large_circuit(start, least, most):
    """Uniform angles concentrate the output; the scaled start's do not."""
    spreads = []
    for layer in layers("qtha", r=10, depth=10, draws=4, start=start):
        core = parts(layer)[1]
        q = circuit(core, torch.randn(64, 10) * core.input_scale).detach()
        spreads.append(rms(q - q.mean(0)))
    assert least < mean_square(spreads) < most


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("r", "depth", "width", "bond"), SHAPES)
def test_the_last_core_of_expand_moves_as_a_dense_matrix_would(r, depth, width, bond, sizes):
    """Per entry forwards, and in the norm of its gradient."""
    moves, gradients = [], []
    for layer in layers("qtha", sizes, r, depth, width, bond, draws=16):
        expand = parts(layer)[2]
        last = expand.operator.cores[-1]
        assert not last.any()
        wanted = torch.randn(layer.out_features, r)
        (expand.matrix() * wanted).sum().backward()
        gradients.append((last.grad.norm() / wanted.norm()).item())
        with torch.no_grad():
            last.normal_()
            moves.append(rms(expand.matrix()))
    assert 0.7 < mean_square(moves) < 1.4
    assert 0.7 < mean_square(gradients) < 1.4


@pytest.mark.parametrize("preset", ["qtha", "qwthn", "mpo"])
def test_the_small_start_draws_what_it_always_drew(preset):
    """The draws spelled out, in their order: a seed that was published gives the same adapter."""
    layer = layers(preset, draws=1, start="small")[0]
    torch.manual_seed(0)
    nn.Linear(576, 192, bias=False)  # drawn before the branch
    compress, core, expand = parts(layer)

    def again(tensor, draw):
        expected = torch.empty_like(tensor)
        draw(expected)
        assert torch.equal(expected, tensor)

    for tensor in compress.operator.cores:
        again(tensor, nn.init.kaiming_normal_)
    again(compress.weight, nn.init.kaiming_uniform_)
    if preset != "mpo":
        again(core.angles, lambda tensor: nn.init.uniform_(tensor, -math.pi, math.pi))
    if preset == "qtha":
        again(core.quantum_weight, nn.init.kaiming_uniform_)
    if preset != "qwthn":
        again(core.linear_weight, nn.init.kaiming_uniform_)
    for tensor in list(expand.operator.cores)[:-1]:
        again(tensor, nn.init.kaiming_normal_)
    nn.init.kaiming_normal_(torch.empty_like(expand.operator.cores[-1]))
    assert not expand.operator.cores[-1].any()
    again(expand.weight, nn.init.kaiming_uniform_)
