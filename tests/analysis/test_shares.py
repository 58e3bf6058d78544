"""The shares of an update, against the branch with one part or the other taken away."""

from types import SimpleNamespace

import pytest
import torch

from qweft import QwthnConfig
from qweft.inspect.layers import LayerMap, layer_maps, shares_of
from tests.analysis.examples import SMALL, branch_of, one_layer


def case(core, change=lambda core: None):
    """The shares, the branch and the tokens x."""
    model, layer = one_layer(QwthnConfig(core=core, **{**SMALL, "target_modules": ["only"]}))
    with torch.no_grad():
        change(layer.qwthn_core["default"])
    x = torch.randn(50, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    (_, layer_map) = layer_maps(model, "default")[0]["only"]
    return shares_of(layer_map, x @ layer_map.compress.T), layer, x


def mean_square(y):
    return float(y.detach().square().sum(1).mean())


@torch.no_grad()
def without(layer, x, weight):
    """The branch with a matrix of its core set to zero."""
    matrix = getattr(layer.qwthn_core["default"], weight)
    before = matrix.clone()
    matrix.zero_()
    y = branch_of(layer)(x)
    matrix.copy_(before)
    return y


def test_circuit_and_linear_part_are_those_that_stay_when_the_other_goes():
    found, layer, x = case("quantum_linear")
    total = mean_square(branch_of(layer)(x))
    circuit, linear = without(layer, x, "linear_weight"), without(layer, x, "quantum_weight")
    assert found["circuit_share"] == pytest.approx(mean_square(circuit) / total)
    assert found["circuit_share_varying"] == pytest.approx(mean_square(circuit - circuit.mean(0)) / total)
    assert found["linear_share"] == pytest.approx(mean_square(linear) / total)
    assert found["cross_share"] == pytest.approx(2 * float((circuit * linear).sum(1).mean()) / total)
    assert found["circuit_share"] + found["linear_share"] + found["cross_share"] == pytest.approx(1)


def test_parts_that_cancel_have_shares_above_one():
    """a = c and b = -c / 2, by hand: u = c / 2."""
    eye = torch.eye(3, dtype=torch.float64)
    both = torch.cat([eye, -eye / 2], 1)
    by_hand = LayerMap(eye, eye, both, both, lambda c: torch.cat([c, c], 1), SimpleNamespace(circuit_features=3))
    c = torch.randn(20, 3, dtype=torch.float64)
    found = shares_of(by_hand, c)
    assert (found["circuit_share"], found["linear_share"], found["cross_share"]) == tuple(
        map(pytest.approx, (4, 1, -4))
    )
    assert found["circuit_share_varying"] == pytest.approx(4 * mean_square(c - c.mean(0)) / mean_square(c))


@pytest.mark.parametrize(("core", "at_rest"), [("quantum_weighted", 0), ("quantum_gated", 1)])
def test_a_weight_is_taken_apart_into_its_mean_and_the_rest(core, at_rest):
    """Of a gate, what it adds to one passes through the circuit."""
    shares, layer, x = case(core)
    prepared = layer.prepared("default")
    c = x @ prepared.compress.T
    w = layer.branch_of("default").core.features(c, *prepared.angles) / c
    total = mean_square(branch_of(layer)(x))

    def share(weights):
        return pytest.approx(mean_square((weights * c) @ (prepared.expand * layer.scaling["default"]).T) / total)

    assert shares["circuit_share"] == share(w - at_rest)
    assert shares["linear_share"] == share(w.mean(0))
    assert shares["circuit_share_varying"] == share(w - w.mean(0))
    assert shares["circuit_share_varying"] > 0


@pytest.mark.parametrize("core", ["identity", "linear"])
def test_without_a_circuit_there_is_no_share(core):
    assert case(core)[0] == {}


@pytest.mark.parametrize("core", ["quantum", "quantum_linear", "quantum_weighted", "quantum_gated"])
@pytest.mark.parametrize("qubits", [2, None])
def test_the_states_that_are_measured_are_those_that_run(core, qubits):
    """A gate reads c over its size: the circuit is given another input than c."""
    model, layer = one_layer(QwthnConfig(core=core, **{**SMALL, "target_modules": ["only"], "qubits": qubits}))
    x = torch.randn(50, 7, generator=torch.Generator().manual_seed(8))
    (_, layer_map) = layer_maps(model, "default")[0]["only"]
    given = []
    measuring = layer.qwthn_core["default"]
    measuring.measured_by = lambda circuit, c, _: given.append(c) or torch.zeros(len(c), circuit.qubits)
    branch_of(layer)(x.double())
    measuring.measured_by = None
    read = layer_map.core.read(x.double() @ layer_map.compress.T)
    torch.testing.assert_close(given[-1].double(), read[..., : given[-1].shape[-1]], rtol=1e-4, atol=1e-5)
