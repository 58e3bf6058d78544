"""Every kind of map: counted as by hand, named as it is saved; and what every `None` of a config became."""

import dataclasses
import math

import pytest
from peft import get_peft_model

from qweft import QweftError, QwthnConfig
from qweft.adapter.branch import count_parameters, make_branch
from qweft.method.names import COMPRESS, EXPAND
from qweft.tensornet import choose_modes, core_shapes
from tests.tiny_models import tiny_gpt2, tiny_llama

D_IN, D_OUT, R = 24, 18, 3


def config_of(compress, expand):
    return QwthnConfig(r=R, core="linear", compress=compress, expand=expand, width=8, bond_dimension=2, share=0.5)


def trained_in(kind, size):
    """By hand: an operator of width 8 and bond 2 with its linear map, or r for each input, output or direction."""
    shapes = core_shapes(choose_modes(8).modes, choose_modes(size).modes, 2)
    operator = sum(math.prod(shape) for shape in shapes) + 8 * R
    return {"mpo": operator, "dense": R * size, "basis": 0, "subspace": 8 * R, "sparse": R * size // 2}[kind]


@pytest.mark.parametrize("compress", COMPRESS)
@pytest.mark.parametrize("expand", EXPAND)
def test_the_numbers_of_a_branch_are_those_by_hand(compress, expand):
    config = config_of(compress, expand)
    wanted = trained_in(compress, D_IN) + trained_in(expand, D_OUT) + R * R
    assert sum(count_parameters(config, D_IN, D_OUT).values()) == wanted
    assert config.has_fixed_map == bool(make_branch(config, D_IN, R, D_OUT).bases)


@pytest.mark.parametrize(("core", "part", "count"), [("quantum_linear", "circuit", 24), ("mlp_weighted", "twin", 24)])
def test_a_core_counts_its_circuit_or_its_control(core, part, count):
    """Of 3 qubits in 2 layers 4 angles each; two linear layers of 3 x 3 with biases."""
    counts = count_parameters(QwthnConfig(r=R, core=core, circuit_layers=2, width=8), D_IN, D_OUT)
    assert counts[part] == count


@pytest.mark.parametrize(("side", "kind"), [("compress", k) for k in COMPRESS] + [("expand", k) for k in EXPAND])
def test_a_kind_names_what_it_does_not_train_and_its_size(side, kind):
    kinds = {"compress": "dense", "expand": "dense", side: kind}
    part = getattr(make_branch(config_of(**kinds), D_IN, R, D_OUT), side)
    assert part.fixed_tensors == tuple(dict(part.named_buffers()))
    assert part.words
    part.reset("recorded", zero=False)
    part.randomise()
    assert part.matrix().shape == ((R, D_IN) if side == "compress" else (D_OUT, R))


def test_what_none_became():
    at = QwthnConfig(r=4).resolved()
    assert (at.alpha, at.scaling, at.qubits, at.circuit_layers, at.basis) == (8, 2, 4, 4, "gradient")
    at = QwthnConfig(r=6, qubits=4, rank_pattern={"v_proj": 2}).resolved(2)
    assert (at.r, at.alpha, at.qubits, at.circuit_layers) == (2, 4, 2, 2)
    assert QwthnConfig(r=4, alpha=0).resolved().alpha == 0
    assert QwthnConfig(r=4, alpha=1).resolved(alpha=6.0).alpha == 6
    left = {entry.name for entry in dataclasses.fields(at) if getattr(at, entry.name) is None}
    assert left == {"fourier_terms"}  # its default needs the circuit


def trained(model, config):
    return sum(each.numel() for each in get_peft_model(model, config).parameters() if each.requires_grad)


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize(
    "changes",
    [{}, {"width": 4, "r": 2}, {"target_modules": "all-linear", "exclude_modules": ["c_proj", "o_proj"]}],
)
def test_the_adapter_is_the_largest_within_the_budget(make, changes):
    sparse = {"target_modules": "all-linear", **changes}
    whole = trained(make(), QwthnConfig.preset("sparse", **sparse))
    least = trained(make(), QwthnConfig.preset("sparse", **sparse, share=1e-9))
    with pytest.raises(QweftError, match="budget"):
        QwthnConfig.for_budget(make(), least - 1, **changes)
    for share in (1e-9, 0.1, 0.31):
        numbers = trained(make(), QwthnConfig.preset("sparse", **sparse, share=share))
        assert trained(make(), QwthnConfig.for_budget(make(), numbers, **changes)) == numbers
        assert trained(make(), QwthnConfig.for_budget(make(), numbers + 1, **changes)) in (numbers, numbers + 1)
    full = QwthnConfig.for_budget(make(), 10 * whole, **changes)
    assert full.share == 0.32 and trained(make(), full) == whole


@pytest.mark.parametrize("changes", [
    {"rank_pattern": {"q_proj": 8}}, {"modules_to_save": ["lm_head"]}, {"bias": "all"}, {"target_modules": None},
])  # fmt: skip
def test_what_is_trained_beside_the_maps_counts(changes):
    numbers = trained(
        tiny_llama(), QwthnConfig.preset("sparse", **{"target_modules": "all-linear", **changes}, share=0.1)
    )
    assert trained(tiny_llama(), QwthnConfig.for_budget(tiny_llama(), numbers, **changes)) == numbers
    with pytest.raises(QweftError, match="expand"):
        QwthnConfig.for_budget(tiny_llama(), numbers, expand="dense")
