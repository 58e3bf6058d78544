"""The public layer, written anew from its description in float64, against ours: cores, start, gradients, outputs.

The record's tensor-train layer holds core k as a matrix M_k of j_k B_k rows and B_{k-1} i_k columns (i: modes read, j:
modes written). For each mode in turn it reshapes, multiplies and transposes:

    Z of shape (i_1 ... i_n, batch);  Z <- M_k Z.reshape(B_{k-1} i_k, -1);  Z <- Z.reshape(j_k, -1)^T

The whole layer: a tensor-train layer d_in -> width, a linear map to r, the circuit and the linear maps Q and K, a
linear map to width, and a tensor-train layer to d_out. Nothing of qweft is used for it.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from qweft import QwthnConfig
from qweft.adapter import QwthnLinear
from tests.tensornet.test_mpo import dense_of

BATCH = 5
MODES = {16: (2, 2, 2, 2), 256: (4, 4, 4, 4), 576: (6, 6, 4, 4), 1024: (8, 8, 4, 4), 3584: (8, 8, 8, 7)}
SHAPES = [(576, 16, 4), (1024, 256, 8), (3584, 16, 4), (3584, 256, 8)]


def network(matrices, x, into, out, bonds):
    """The record's loop: x (batch, prod i) to (batch, prod j)."""
    batch = x.shape[0]
    z = x.t()
    for matrix, i, j, left, right in zip(matrices, into, out, bonds[:-1], bonds[1:], strict=True):
        assert matrix.shape == (j * right, left * i)
        z = matrix @ z.reshape(left * i, -1)
        z = z.reshape(j, -1).t()
    return z.reshape(batch, -1)


def started(into, out, bonds, generator):
    """Matrices as `kaiming_normal_` draws them: standard deviation sqrt(2 / columns)."""
    return [
        torch.randn(j * right, left * i, dtype=torch.float64, generator=generator) * math.sqrt(2 / (left * i))
        for i, j, left, right in zip(into, out, bonds[:-1], bonds[1:], strict=True)
    ]


def ported(matrices, into, out, bonds):
    """The record's matrices as our cores (B_{k-1}, j_k, i_k, B_k)."""
    return [
        matrix.view(j, right, left, i).permute(2, 0, 3, 1)
        for matrix, i, j, left, right in zip(matrices, into, out, bonds[:-1], bonds[1:], strict=True)
    ]


def circuit(c, angles, layers):
    """Z of each qubit for one token, one gate after the other on the 2^n amplitudes; qubit 0 is the leading bit."""
    n = len(c)
    state = np.zeros((2,) * n, dtype=complex)
    state[(0,) * n] = 1
    angles = iter(angles)

    def ry(angle, wire):
        nonlocal state
        cos, sin = math.cos(angle / 2), math.sin(angle / 2)
        zero, one = np.take(state, 0, wire), np.take(state, 1, wire)
        state = np.stack([cos * zero - sin * one, sin * zero + cos * one], wire)

    def crz(angle, control, target):
        for bit, sign in ((0, -1), (1, 1)):
            at = [slice(None)] * n
            at[control], at[target] = 1, bit
            state[tuple(at)] *= np.exp(sign * 0.5j * angle)

    for _ in range(layers):
        for wire in range(n):
            ry(c[wire], wire)
        for step in (1, -1):
            for wire in range(n):
                crz(next(angles), wire, (wire + step) % n)
            for wire in range(n):
                ry(next(angles), wire)
    weights = np.abs(state) ** 2
    return [np.take(weights, 0, wire).sum() - np.take(weights, 1, wire).sum() for wire in range(n)]


def layer_of(size, width, bond, r, preset="qtha", layers=None, seed=0, **changes):
    torch.manual_seed(seed)
    config = QwthnConfig.preset(
        preset, r=r, circuit_layers=layers, width=width, bond_dimension=bond, **{"start": "recorded", **changes}
    )
    return QwthnLinear(nn.Linear(size, size, bias=False), "default", config, r, None)


def parts(layer):
    return layer.qwthn_compress["default"], layer.qwthn_core["default"], layer.qwthn_expand["default"]


def put(cores, values):
    with torch.no_grad():
        for core, value in zip(cores, values, strict=True):
            assert core.shape == value.shape
            core.copy_(value)


@pytest.mark.parametrize(("size", "width", "bond"), SHAPES)
def test_the_same_numbers_make_the_same_operator(size, width, bond):
    generator, bonds = torch.Generator().manual_seed(0), (1, bond, bond, bond, 1)
    compress, _, expand = parts(layer_of(size, width, bond, 4).double())
    for operator, into, out in ((compress.operator, size, width), (expand.operator, width, size)):
        matrices = started(MODES[into], MODES[out], bonds, generator)
        put(operator.cores, ported(matrices, MODES[into], MODES[out], bonds))
        x = torch.randn(BATCH, into, dtype=torch.float64, generator=generator)
        wanted = network(matrices, x, MODES[into], MODES[out], bonds)
        torch.testing.assert_close(x @ dense_of(operator).t(), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("r", [4, 10])
@pytest.mark.parametrize(("size", "width", "bond"), SHAPES)
def test_a_layer_ported_from_the_record_gives_its_outputs(size, width, bond, r):
    """In float64, and in float32 up to its own rounding of a sum over `size` products."""
    generator, bonds, layers = torch.Generator().manual_seed(r), (1, bond, bond, bond, 1), 2

    def linear(*shape):
        bound = math.sqrt(6 / shape[1])  # kaiming_uniform_ with a = 0
        return (2 * torch.rand(*shape, dtype=torch.float64, generator=generator) - 1) * bound

    read = started(MODES[size], MODES[width], bonds, generator)
    written = started(MODES[width], MODES[size], bonds, generator)
    a, b, q, k = linear(r, width), linear(width, r), linear(r, r), linear(r, r)
    angles = (2 * torch.rand(4 * r * layers, dtype=torch.float64, generator=generator) - 1) * math.pi
    x = 0.3 * torch.randn(BATCH, size, dtype=torch.float64, generator=generator)  # rms of a model's hidden states

    layer = layer_of(size, width, bond, r, layers=layers).eval()
    c = network(read, x, MODES[size], MODES[width], bonds) @ a.t()
    values = torch.tensor([circuit(row, angles.tolist(), layers) for row in c.tolist()], dtype=torch.float64)
    h = values @ q.t() + c @ k.t()
    wanted = x @ layer.base_layer.weight.detach().double().t()
    wanted = wanted + 2 * network(written, h @ b.t(), MODES[width], MODES[size], bonds)  # alpha = 2 r
    for dtype, most in ((torch.float32, 1e-6 if size < 3584 else 2e-6), (torch.float64, 1e-11)):
        compress, core, expand = parts(layer.to(dtype))
        put(compress.operator.cores, ported(read, MODES[size], MODES[width], bonds))
        put(expand.operator.cores, ported(written, MODES[width], MODES[size], bonds))
        put([compress.weight, expand.weight], [a, b])
        put([core.quantum_weight, core.linear_weight, core.angles], [q, k, angles.view_as(core.angles)])
        with torch.no_grad():
            found = layer(x.to(dtype)).double()
        assert (found - wanted).norm() <= most * wanted.norm()


@pytest.mark.parametrize(("size", "width", "bond"), SHAPES)
def test_every_part_starts_with_the_records_spread(size, width, bond):
    bonds, r = (1, bond, bond, bond, 1), 10
    drawn = [parts(layer_of(size, width, bond, r, seed=seed)) for seed in range(20)]

    def deviation(tensor_of):
        return torch.cat([tensor_of(*one).detach().flatten() for one in drawn]).square().mean().sqrt().item()

    for place in range(4):
        columns = bonds[place] * MODES[size][place]
        found = deviation(lambda compress, core, expand, place=place: compress.operator.cores[place])
        assert found == pytest.approx(math.sqrt(2 / columns), rel=0.12)
    for place in range(3):
        columns = bonds[place] * MODES[width][place]
        found = deviation(lambda compress, core, expand, place=place: expand.operator.cores[place])
        assert found == pytest.approx(math.sqrt(2 / columns), rel=0.12)
    assert not any(expand.operator.cores[-1].any() for _, _, expand in drawn)
    uniform = {
        "A": (lambda compress, core, expand: compress.weight, 6 / width),
        "B": (lambda compress, core, expand: expand.weight, 6 / r),
        "Q": (lambda compress, core, expand: core.quantum_weight, 6 / r),
        "K": (lambda compress, core, expand: core.linear_weight, 6 / r),
        "angles": (lambda compress, core, expand: core.angles, math.pi**2),
    }
    for name, (tensor_of, square) in uniform.items():
        largest = max(tensor_of(*one).detach().abs().max().item() for one in drawn)
        assert 0.95 * math.sqrt(square) < largest <= math.sqrt(square) * 1.000001, name
        assert deviation(tensor_of) == pytest.approx(math.sqrt(square / 3), rel=0.1), name


@pytest.mark.parametrize("r", [4, 10])
@pytest.mark.parametrize(("size", "width", "bond"), SHAPES[::3])
def test_the_operators_gain_and_the_first_gradient_are_the_records(size, width, bond, r):
    """Both measured on independent draws; the small start's first gradient is far below."""
    bonds, draws = (1, bond, bond, bond, 1), 24

    def last_gradient_of_the_record(seed):
        """d/dM_n of sum(output * wanted) for h ~ N(0, 1), the last matrix zero."""
        generator = torch.Generator().manual_seed(1000 + seed)
        matrices = started(MODES[width], MODES[size], bonds, generator)
        last = torch.zeros_like(matrices[-1]).requires_grad_()
        b = (2 * torch.rand(width, r, dtype=torch.float64, generator=generator) - 1) * math.sqrt(6 / r)
        h = torch.randn(BATCH, r, dtype=torch.float64, generator=generator)
        y = network([*matrices[:-1], last], h @ b.t(), MODES[width], MODES[size], bonds)
        (y * torch.randn(y.shape, dtype=torch.float64, generator=generator)).sum().backward()
        return last.grad.norm().item()

    def last_gradient_of_ours(seed, start):
        _, _, expand = parts(layer_of(size, width, bond, r, seed=seed, start=start))
        h = torch.randn(BATCH, r)
        y = h @ expand.matrix().t()
        (y * torch.randn(y.shape)).sum().backward()
        return expand.operator.cores[-1].grad.norm().item()

    def mean(values):
        return math.sqrt(np.mean(np.square(values)))

    recorded = mean([last_gradient_of_the_record(seed) for seed in range(draws)])
    ours = mean([last_gradient_of_ours(seed, "recorded") for seed in range(draws)])
    assert ours == pytest.approx(recorded, rel=0.35)
    assert mean([last_gradient_of_ours(seed, "small") for seed in range(draws)]) < recorded / 8

    x = torch.randn(64, size)
    gains = [
        (x @ dense_of(parts(layer_of(size, width, bond, r, seed=seed))[0].operator).t()).square().mean().sqrt().item()
        for seed in range(draws)
    ]
    assert mean(gains) == pytest.approx(4.0, rel=0.25)  # sqrt(2) for each of four cores
