"""The conclusion of a comparison, in plain sentences, and the schedule of its runs."""

import json
import re

import pytest

from qweft.comparison.conclusion import conclusion
from qweft.comparison.methods import Method
from qweft.comparison.schedule import Schedule, duration, what_it_is
from qweft.comparison.summarise import summarise
from tests.comparison.comparison_examples import run, runs
from tests.docs.blocks import ROOT

BASE = [run("base", 0, 2.0, trainable_parameters=0, adapter=None)]
BETTER = [0.95, 0.96, 0.955]


def said(**losses):
    return conclusion(summarise([*BASE, *runs(**losses)]))


def test_a_winner_over_all_others():
    assert said(lora=[1.0] * 3, qtha=BETTER, mpo=[1.0] * 3, mlp_linear=[1.0] * 3) == (
        "qtha has the lowest held-out loss, 0.955 (52.2% below the untouched model's), and is better than every other "
        "method. The circuit helps qtha."
    )


def test_a_winner_over_some():
    told = said(lora=[1.0, 1.01, 1.02], qtha=[1.0, 1.03, 1.01], mpo=[1.2, 1.21, 1.22], mlp_linear=[1.0, 1.02, 1.02])
    assert "is better than mpo; qtha and mlp_linear are not shown to be worse." in told
    assert "Whether the circuit helps qtha is not decided." in told
    assert re.search(r"A run of 3 seeds and 4 steps cannot show differences under about \d\.\d+%\.$", told)


def test_nothing_is_decided():
    told = said(lora=[1.0, 1.01, 1.02], qtha=[1.0, 1.03, 1.01])
    assert "(49.5% below the untouched model's), but qtha is not shown to be worse." in told
    assert "Whether the circuit helps qtha cannot be told: not all of its controls were run." in told
    third = said(lora=[1.0, 1.01, 1.02], qtha=[1.0, 1.03, 1.01], mpo=[1.01, 1.0, 1.02])
    assert "but no other method is shown to be worse." in third


def test_a_circuit_that_harms():
    told = said(lora=[1.0] * 3, qtha=[1.1, 1.11, 1.12], mpo=[1.0] * 3, mlp_linear=[1.0] * 3)
    assert "The circuit does not help qtha: a control without it does better." in told


def test_few_seeds_decide_nothing():
    told = said(lora=[1.0, 1.1], qtha=[1.2, 1.3])
    assert told.endswith("With 2 seeds no difference can be shown: it takes 3.")


def test_one_method_and_none():
    assert said(lora=[1.0] * 3).endswith("and nothing else was run.")
    assert conclusion(summarise(BASE)) == "No method has a held-out loss yet."
    assert said(lora=[None] * 3) == "Every method diverged at one seed or more."


def test_a_run_above_the_untouched_model():
    assert "(50.0% above the untouched model's)" in said(lora=[3.0] * 3)


def test_the_smallest_difference_is_the_half_width_of_an_interval():
    results = json.loads((ROOT / "docs" / "results" / "demo.json").read_text())
    from qweft.comparison.report.content import Content

    content = Content.read(results)
    stated = float(re.search(r"under about ([\d.]+)%", content.conclusion)[1])
    widths = [
        (f.interval[1] - f.interval[0]) / 2 for f in content.findings if f.interval and f.direction == "not shown"
    ]
    assert any(stated == pytest.approx(width, rel=0.06) for width in widths) or stated < min(widths)


def test_what_a_method_is():
    def told(adapter):
        return what_it_is(Method("name", adapter, 1e-3, 57600))

    assert told({"peft_type": "LORA", "r": 1}) == "LoRA, rank 1: 57,600 trained parameters"
    assert told({"preset": "qtha"}).startswith("tensor networks around a circuit added to a linear map (v2")
    assert told({"preset": "qtha", "core": "mlp_linear"}).startswith("in the circuit's place a small neural network:")
    assert told({"preset": "mpo"}).startswith("tensor networks around a linear map, no circuit:")
    assert told({"peft_type": "VERA"}).startswith("VERA of PEFT:")
    assert told({"rival": "quantum-adapter"}).startswith("quantum-adapter, another package's adapter:")
    assert told({"peft_type": "QWTHN"}).startswith("QWTHN:")


def test_the_time_left_follows_the_costs():
    lora = Method("lora", {"peft_type": "LORA", "r": 1}, 1e-3, 57600)
    planned = Schedule(((None, 0), (lora, 0), (lora, 1)), (1.0, 4.0, 4.0), 90.0)
    assert planned.left({0}, [0], 10.0) == 80.0
    assert planned.left({0, 1}, [0, 1], 100.0) == 80.0
    assert planned.left({0, 1}, [1], 20.0) == 20.0  # the first was finished before
    assert planned.left({0, 1, 2}, [0, 1, 2], 100.0) is None and planned.left({0}, [], 5.0) is None
    assert planned.described() == [
        "3 runs: the untouched model, and 1 method at seeds 0, 1; about 2 min if the machine stays as it is",
        "  lora  LoRA, rank 1: 57,600 trained parameters",
    ]
    assert duration(4) == "10 s" and duration(10_000) == "2.8 h"
