"""Means, spreads, differences and ratios by hand."""

import math

import pytest

from qweft.comparison.judge.summarise import summarise
from qweft.comparison.method_kinds import core_of, describe_differences, kind_of, maps_of
from qweft.comparison.report.table import COLUMNS
from tests.comparison.comparison_examples import run, runs


def test_by_hand():
    """lora 1, 2, 3; qtha 1.1, 2.1, 2.8: differences +0.1, +0.1, -0.2 of a mean of 2, in percent +5, +5, -10."""
    summary = summarise(runs(lora=[1.0, 2.0, 3.0], base=[3.0], qtha=[1.1, 2.1, 2.8]))
    base, lora, qtha = summary.values()
    assert (base.method, lora.method, qtha.method) == ("base", "lora", "qtha")
    assert (lora.eval_loss, lora.eval_loss_deviation) == (pytest.approx(2), pytest.approx(1))
    assert lora.perplexity == pytest.approx(math.exp(2)) and lora.late_train_loss == pytest.approx(1.1)
    assert qtha.seeds == (0, 1, 2) and qtha.eval_losses == (1.1, 2.1, 2.8) and qtha.eval_loss == pytest.approx(2)
    assert qtha.difference.paired.differences == pytest.approx((5, 5, -10))
    assert qtha.difference.mean == pytest.approx(0, abs=1e-12)
    assert lora.parameter_difference == 0 and qtha.parameter_difference == pytest.approx(-82)
    assert (qtha.kind, qtha.learning_rate, qtha.steps) == ("hybrid", 0.001, 4)
    # the base model's run is paired with every seed
    assert base.difference.paired.differences == pytest.approx((100, 50, 0))
    assert base.late_train_loss is None and base.eval_loss_deviation is None


def test_costs_are_medians_and_differences_use_only_seeds_that_both_have():
    made = [run("lora", s, s + 1.0, step_seconds_median=t) for s, t in enumerate((0.1, 0.2, 9.0))]
    made += [run("mpo", s, 3.0, step_seconds_median=t, peak_memory_bytes=150) for s, t in ((2, 0.3), (3, 0.1))]
    mpo = summarise(made)["mpo"]
    assert (mpo.step_seconds, mpo.peak_memory_bytes) == (pytest.approx(0.2), 150)
    assert mpo.difference.paired.differences == (0,)


def test_a_mean_or_difference_over_the_seeds_that_did_not_diverge_is_no_result():
    for lora, lost in (([1.0, 1.1, 1.2], None), ([1.0, None, 1.2], 0.5), ([1.0, 1.1, 1.2], math.nan)):
        qtha = summarise(runs(base=[2.0], lora=lora, qtha=[0.5, 0.5, lost]))["qtha"]
        assert len(qtha.difference.paired.differences) == 2 and qtha.difference.paired.diverged == 1
        assert COLUMNS["diff. to ref."](qtha) == "–"
        if lost != 0.5:
            assert qtha.diverged == 1 and qtha.eval_loss is qtha.perplexity is qtha.eval_loss_deviation is None


@pytest.mark.parametrize(
    ("method", "adapter", "kind", "core"),
    [
        ("base", None, "base", None),
        ("x", {"peft_type": "lora", "r": 1}, "lora", None),
        ("lora", {"preset": "qtha"}, "hybrid", "quantum_linear"),
        ("x", {"preset": "qtha", "core": "linear"}, "no_circuit", "linear"),
        ("x", {"preset": "qwthn", "core": "frozen_weighted"}, "twin", "frozen_weighted"),
        ("x", {"peft_type": "QWTHN", "core": "fourier", "compress": "dense", "expand": "dense"}, "twin", "fourier"),
        ("lora", {"peft_type": "LORA", "use_dora": True}, "other", None),
        ("x", None, "other", None),
    ],
)
def test_kinds(method, adapter, kind, core):
    assert kind_of(method, adapter) == kind and core_of(adapter) == core
    assert (maps_of(adapter) is None) == (core is None)


QTHA = {"preset": "qtha", "r": 4, "target_modules": ["q_proj", "v_proj"]}


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        # the same network, written otherwise
        ({**QTHA, "alpha": 8, "circuit_layers": 4, "bond_dimension": 4, "target_modules": ["v_proj", "q_proj"]}, []),
        ({"peft_type": "qwthn", "r": 4, "width": 16, "bond_dimension": 4, "target_modules": ["q_proj", "v_proj"]}, []),
        ({**QTHA, "preset": "mpo", "circuit_layers": 2, "reupload": False}, []),
        # other networks
        ({**QTHA, "core": "mlp_linear", "circuit_layers": 2}, ["circuit_layers (2, not 4)"]),
        ({**QTHA, "core": "frozen_linear", "reupload": False}, ["reupload (False, not True)"]),
        ({**QTHA, "target_modules": ["k_proj"]}, ["target_modules (k_proj, not q_proj v_proj)"]),
    ],
)
def test_in_what_an_adapter_differs_from_the_hybrid_besides_its_core(adapter, said):
    assert describe_differences(adapter, QTHA) == said
