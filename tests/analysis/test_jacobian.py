"""Ranks and numbers of maps against dense Jacobians by automatic differentiation of the layer itself."""

import math
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig

from qweft import QwthnConfig
from qweft.inspect.jacobian import small_jacobians, spread_of
from qweft.inspect.layers import layer_maps
from tests.analysis.examples import SMALL, branch_of, one_layer

TOKENS = 12
QWTHN = {**SMALL, "target_modules": ["only"]}
TWINS = ["mlp_linear", "fourier_linear", "frozen_linear", "product_linear", "mlp_weighted", "mlp_gated"]
CORES = ["identity", "linear", "quantum", "quantum_linear", "quantum_weighted", "quantum_gated", *TWINS]


def spread_and_dense(config, into=7, out=9):
    """What the small factors give, and J(x) (tokens, d_out, d_in) of the whole branch."""
    model, layer = one_layer(config, into, out)
    x = torch.randn(TOKENS, into, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    branch = branch_of(layer)
    dense = torch.stack([torch.autograd.functional.jacobian(branch, row[None]).squeeze() for row in x])
    (_, layer_map) = layer_maps(model, "default")[0]["only"]
    small = small_jacobians(layer_map, x @ layer_map.compress.T)
    spread, spectrum = spread_of(small)
    return SimpleNamespace(**spread, spectrum=spectrum), small, dense


def by_entropy(singular):
    """The effective rank of a list of singular values, as it is written in books."""
    energies = [float(s) ** 2 for s in singular if s > 0]
    return math.exp(-sum(e / sum(energies) * math.log(e / sum(energies)) for e in energies))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("sizes", [(7, 9), (2, 9), (7, 2)])
def test_all_numbers_are_those_of_dense_jacobians(core, sizes):
    found, small, dense = spread_and_dense(QwthnConfig(core=core, **QWTHN), *sizes)
    torch.testing.assert_close(
        torch.linalg.svdvals(small)[:, : min(3, *sizes)], torch.linalg.svdvals(dense)[:, : min(3, *sizes)]
    )
    per_token = torch.linalg.svdvals(dense)
    assert found.effective_rank_token == pytest.approx(sum(map(by_entropy, per_token)) / TOKENS)
    stable = (per_token.square().sum(1) / per_token[:, 0].square()).mean()
    assert found.stable_rank_token == pytest.approx(float(stable))
    read = torch.linalg.eigvalsh(sum(J.T @ J for J in dense) / TOKENS).flip(0).clamp(min=0).sqrt()
    written = torch.linalg.eigvalsh(sum(J @ J.T for J in dense) / TOKENS).flip(0).clamp(min=0).sqrt()
    assert found.effective_rank_input == pytest.approx(by_entropy(read), rel=1e-6)
    assert found.effective_rank_output == pytest.approx(by_entropy(written), rel=1e-6)
    assert found.spectrum == pytest.approx((read / read[0])[: len(found.spectrum)].tolist(), abs=1e-6)
    gram = torch.tensor([[float((a * b).sum()) for a in dense] for b in dense], dtype=torch.float64)
    maps = torch.linalg.eigvalsh(gram).flip(0).clamp(min=0).sqrt()
    assert found.different_maps == pytest.approx(by_entropy(maps), rel=1e-6)
    around = (dense - dense.mean(0)).square().sum() / dense.square().sum()
    assert found.varying_share == pytest.approx(float(around), abs=1e-12)


@pytest.mark.parametrize("core", ["quantum", "quantum_linear", "quantum_weighted", "quantum_gated"])
def test_all_tokens_together_stay_in_r_dimensions_on_both_sides(core):
    """What is not broken of the rank limit, on dense matrices; what differs is the map between the two spaces."""
    found, _, dense = spread_and_dense(QwthnConfig(core=core, **QWTHN))
    assert torch.linalg.matrix_rank(dense.flatten(0, 1)) == torch.linalg.matrix_rank(dense.mT.flatten(0, 1)) == 3
    assert (found.rank_token, found.rank_input, found.rank_output) == (3, 3, 3)
    directions = torch.linalg.matrix_rank(dense.flatten(1))
    assert found.rank_maps == directions > 3


def test_lora_is_one_map_of_the_rank_of_its_product():
    found, _, dense = spread_and_dense(LoraConfig(r=3, lora_alpha=5, init_lora_weights=False, target_modules=["only"]))
    product = torch.linalg.svdvals(dense[0])
    assert torch.equal(dense[0], dense[-1])
    for rank in (found.effective_rank_token, found.effective_rank_input, found.effective_rank_output):
        assert rank == pytest.approx(by_entropy(product[:3]))
    assert found.different_maps == pytest.approx(1)
    assert (found.rank_token, found.rank_input, found.rank_output, found.rank_maps) == (3, 3, 3, 1)
    assert found.varying_share == pytest.approx(0, abs=1e-20)


def test_a_zero_branch_has_rank_zero():
    found, _, _ = spread_and_dense(QwthnConfig(core="quantum", **{**QWTHN, "init_weights": True}))
    assert (found.effective_rank_token, found.different_maps, found.rank_input, found.rank_token) == (0, 0, 0, 0)
    assert (found.varying_share, found.spectrum) == (None, [0, 0, 0])
