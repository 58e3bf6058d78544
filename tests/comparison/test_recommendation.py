"""Which method to use, in one sentence, of runs with chosen losses."""

import json
from dataclasses import replace

import pytest

from qweft.comparison.family import questions
from qweft.comparison.halving import Rung, Standing
from qweft.comparison.recommendation import recommend
from qweft.comparison.report.content import Content
from qweft.comparison.statistics import paired
from qweft.comparison.summarise import summarise
from tests.comparison.comparison_examples import run, runs, verdicts

STEADY = [1.0, 1.001, 0.999]


def told(found, reference="lora", margin=None, rungs=()):
    return recommend(summarise(found, reference, margin, is_strict=True), rungs)


def moved(factor, wobble=0.0):
    """Losses at a factor of the steady ones, with some chance of their own."""
    return [factor * (loss + wobble * sign) for loss, sign in zip(STEADY, (1, -2, 1), strict=True)]


def test_a_leader_that_is_better_than_all_is_named_with_the_next():
    found = told(runs(base=[2.0], lora=STEADY, dora=moved(1.05), lora_r1=moved(1.03, 0.001)))
    assert found.method == "lora" and found.seed == 0
    assert found.text.startswith("Use lora (LoRA, rank 8): 2.9% [2.5, 3.3] lower loss than the next, lora_r1. Its held")
    assert "Its held-out loss is 50.0% below the base model's." in found.text


def test_the_place_of_an_adapter_is_not_taken_for_that_of_its_map():
    made = runs(base=[2.0], lora=moved(1.05), qtha=STEADY)
    sparse = [
        replace(each, adapter={"preset": "sparse", "target_modules": "all-linear"}) if each.method == "qtha" else each
        for each in made
    ]
    assert "Use qtha (a subspace and a sparse map, nothing between, on all linear layers): " in told(sparse).text


def test_one_that_is_better_than_the_leader_wins():
    found = told(runs(base=[2.0], lora=moved(1.05), dora=moved(1.02), lora_r1=STEADY))
    assert found.method == "lora_r1"
    assert found.text.startswith("Use lora_r1 (LoRA, rank 1): 4.8% [4.8, 4.8] lower loss than lora, the reference.")


def test_an_interval_that_ends_near_zero_does_not_seem_to_hold_it():
    summary = summarise(runs(base=[2.0], lora=[1.0] * 3, dora=[0.9890, 0.9740, 0.9774]), "lora", None, is_strict=True)
    assert -0.05 < paired(summary["dora"], summary["lora"]).interval[1] < 0
    assert "1.99% [0.03, 3.94] lower loss than lora" in recommend(summary).text


def test_of_two_that_are_not_decided_the_better_is_taken_and_the_smaller_told():
    found = told(runs(base=[2.0], lora=STEADY, lora_r1=[1.004, 0.998, 1.002]))
    assert found.method == "lora"
    assert found.text.startswith("Nothing is decided between lora and lora_r1 (smallest visible effect ")
    said = "): take lora (LoRA, rank 8), whose loss was the lowest. lora_r1 comes with 80% fewer parameters. Its"
    assert said in found.text
    found = told(runs(base=[2.0], lora=[1.004, 0.998, 1.002], lora_r1=STEADY))
    assert "take lora_r1 (LoRA, rank 1), whose loss was the lowest. Its" in found.text


def test_one_that_is_equivalent_is_told_beside_those_that_are_not_decided():
    losses = {"lora": STEADY, "lora_r1": moved(1.0005, 0.0002), "dora": [1.06, 1.0, 1.04]}
    found = told(runs(base=[2.0], **losses), margin=1.0)
    assert found.method == "lora" and found.text.startswith("Nothing is decided between lora and dora (smallest ")
    said = "whose loss was the lowest. lora_r1 is equivalent to lora within 1%. lora_r1 comes with 80% fewer"
    assert said in found.text


def test_equivalent_ones_are_told_so():
    found = told(runs(base=[2.0], lora=STEADY, lora_r1=moved(1.0005, 0.0004)), margin=1.0)
    assert found.text.startswith("Use lora_r1 (LoRA, rank 1): equivalent to lora within 1%, and smaller.")
    found = told(runs(base=[2.0], lora_r1=STEADY, lora=moved(1.0005, 0.0004)), "lora_r1", 1.0)
    assert found.text.startswith("Use lora_r1 (LoRA, rank 1): lora is equivalent to it within 1%, and not smaller.")


def test_those_that_are_worse_are_told_beside_those_that_are_open():
    found = told(runs(base=[2.0], lora=STEADY, lora_r1=moved(1.0, 0.002), dora=moved(1.05)))
    assert "Nothing is decided between lora and lora_r1" in found.text
    assert "lora has 4.8% [4.8, 4.8] lower loss than dora." in found.text


@pytest.mark.parametrize("size, taken, which", [
    (500, "dora", "whose loss was lower."), (1000, "dora", "whose loss was lower."),
    (1001, "lora", "whose loss was the lowest of these."),
])  # fmt: skip
def test_beside_those_that_are_open_an_equivalent_one_is_taken_if_it_is_lower_and_no_larger(size, taken, which):
    losses = {"lora": STEADY, "lora_r1": moved(1.01, 0.02), "dora": moved(0.9999, 0.00001)}
    sizes = {"lora": 1000, "lora_r1": 2000, "dora": size}
    found = [replace(each, trainable_parameters=sizes.get(each.method, 0)) for each in runs(base=[2.0], **losses)]
    got = told(found, margin=0.1)
    assert got.text.startswith("Nothing is decided between lora and lora_r1 (smallest visible effect ")
    assert got.method == taken and f": take {taken} (" in got.text and which in got.text
    assert "dora is equivalent to lora within 0.1%." in got.text


def test_of_equivalent_ones_none_is_taken_that_is_further_behind_the_lowest_than_the_margin():
    sizes = {"lora": 1000, "dora": 2000, "lora_r1": 200}
    found = runs(base=[2.0], lora=STEADY, dora=moved(0.992), lora_r1=moved(1.0078))
    got = told([replace(each, trainable_parameters=sizes.get(each.method, 0)) for each in found], margin=1.0)
    assert got.method == "lora"
    assert got.text.startswith("Use lora (LoRA, rank 8): dora is equivalent to it within 1%, and not smaller. ")
    assert "lora_r1 is smaller, but its loss was 1.6% above dora's. Its held-out loss" in got.text


def test_without_the_leader_every_pair_that_may_be_claimed_shares_the_level():
    others = {
        name: moved(1 + number / 5000, 0.0001) for number, name in enumerate(("dora", "lora_r1", "mpo", "a", "b"))
    }
    for lora, count in (([1.0, None, 1.0], 15), (STEADY, 5)):
        judged = summarise(runs(base=[2.0], lora=lora, **others), "lora", 1.0, is_strict=True)
        assert judged["a"].looks["lora"].questions == count
        assert count == 5 or {look.questions for each in judged.values() for look in each.looks.values()} == {15}


def test_two_seeds_decide_nothing():
    found = told(runs(base=[2.0], lora=[1.0, 1.1], lora_r1=[1.2, 1.3]))
    assert "Nothing is decided between lora and lora_r1 (2 seeds, and it takes 3): take lora" in found.text


def test_training_that_does_not_help_is_told():
    found = told(runs(base=[0.9], lora=STEADY, lora_r1=moved(1.05)))
    assert "But its held-out loss is 11.1% above the base model's: no gain is seen." in found.text


def test_methods_that_diverged_are_no_choice():
    found = told(runs(base=[2.0], lora=[1.0, None, 1.0], lora_r1=STEADY))
    assert found.method == "lora_r1" and "no other method came to the end" in found.text
    assert told(runs(base=[2.0], lora=[None, None, None])) is None
    assert told([run("base", 0, 2.0)]) is None


@pytest.mark.parametrize(
    ("losses", "margin", "said"),
    [
        ({"mpo": moved(1.02)}, None, "qtha is better than mpo; another control of its circuit is missing."),
        ({"mpo": moved(0.98)}, None, "The circuit of qtha does not help: mpo, without it, is better."),
        (
            {"mpo": moved(1.0005, 0.0001)},
            1.0,
            "The circuit is not needed in qtha: mpo, without it, is equivalent within 1%.",
        ),
        (
            {"mpo": moved(1.0, 0.01)}, None,
            "of qtha helps cannot be told: against mpo it is not decided, and another control of the circuit was not "
            "run.",
        ),
        (
            {"mpo": moved(1.0, 0.01), "mlp_linear": moved(1.03)}, None,
            "Whether the circuit of qtha helps is not decided.",
        ),
        ({}, None, "Whether the circuit of qtha helps cannot be told: no control came to the end."),
        (
            {"mpo": moved(1.02), "mlp_linear": moved(1.03)}, None,
            "The circuit helps: qtha is better than mpo and mlp_linear.",
        ),
        (  # a circuit without entanglement is no control without a circuit
            {"mpo": moved(1.02), "mlp_linear": moved(1.03), "product_linear": moved(0.98)}, None,
            "The circuit helps: qtha is better than mpo and mlp_linear.",
        ),
        ({"product_linear": moved(0.98)}, None, "helps cannot be told: no control came to the end."),
    ],
)  # fmt: skip
def test_what_is_known_of_the_circuit_is_told(losses, margin, said):
    found = told(runs(base=[2.0], lora=moved(1.1), qtha=STEADY, **losses), margin=margin)
    assert said in found.text


def test_methods_that_were_stopped_are_told_and_nothing_is_claimed_of_them():
    standings = (
        Standing("lora", {"peft_type": "LORA", "r": 8}, 1e-3, 1.0, 0.0, 0.0, True),
        Standing("lora_r1", {"peft_type": "LORA", "r": 1}, 1e-3, 1.1, 10.0, 5.0, True),
        Standing("dora", {"peft_type": "LORA", "use_dora": True}, 1e-3, 1.2, 20.0, 9.0),
        Standing("qtha", {"preset": "qtha"}, 1e-3, 1.2, 21.25, 9.0),
        Standing("ia3", {"peft_type": "IA3"}, 1e-3, None),
    )
    found = told(runs(base=[2.0], lora=STEADY, lora_r1=moved(1.05)), rungs=[Rung(1, 8, (1000,), standings)])
    behind = "it was stopped after 8 steps, 21.2% behind lora on the validation rows."
    assert f"Whether the circuit of qtha helps was not asked: {behind}" in found.text
    assert "Stopped before, on the validation rows: dora and ia3." in found.text and "The best rate" not in found.text
    made = summarise(runs(base=[2.0], lora=STEADY, lora_r1=moved(1.05)), "lora", None, is_strict=True)
    doubted = recommend(made, [Rung(1, 8, (1000,), standings)], (), {"lora", "dora", "qtha"})
    assert "The best rates of dora and qtha were at an end of those tried: a better one may lie beyond." in doubted.text


def test_of_three_the_best_is_taken_and_what_was_not_tried_is_told():
    found = runs(base=[2.0], lora=STEADY, dora=[1.06, 1.0, 1.04], lora_r1=[1.004, 0.998, 0.997])
    small = [replace(each, trainable_parameters=100) if each.method == "dora" else each for each in found]
    told_of = recommend(summarise(small, "lora", is_strict=True), (), ["qtha", "mpo"])
    assert told_of.method == "lora_r1" and "take lora_r1 (LoRA, rank 1), whose loss was the lowest." in told_of.text
    assert "dora comes with " in told_of.text
    assert told_of.text.endswith("Not tried, as the budget leaves them out: qtha and mpo.")


def test_all_claims_share_one_level():
    found = runs(base=[2.0], lora=STEADY, dora=moved(1.004, 0.0004), lora_r1=moved(1.004, 0.0004))
    strict, holm = (summarise(found, "lora", 1.0, is_strict=strict) for strict in (True, False))
    count = len(questions(strict))
    for name in ("dora", "lora_r1"):
        pairing = paired(strict["lora"], strict[name])
        assert pairing.corrected == pytest.approx(min(1.0, count * pairing.p_value))
        wider, narrow = pairing.narrow, paired(holm["lora"], holm[name]).narrow
        assert wider[0] < narrow[0] < narrow[1] < wider[1]


def test_the_report_says_how_the_claims_were_corrected():
    found = runs(base=[2.0], lora=STEADY, dora=moved(1.004, 0.0004), lora_r1=moved(1.004, 0.0004))
    said = [" ".join(verdicts(summarise(found, "lora", is_strict=strict))) for strict in (True, False)]
    assert "corrected for all of them (Bonferroni), and so is equivalence" in said[0] and "Holm" not in said[0]
    assert "corrected for all of them (Holm); intervals and the equivalence of a pair are not." in said[1]


def test_it_is_plain_json():
    found = told(runs(base=[2.0], lora=STEADY, lora_r1=moved(1.05)))
    assert json.loads(json.dumps(found.to_json())) == found.to_json()


def test_sizes_are_called_smaller_only_where_they_are():
    losses = {"lora": [1.0, 1.001, 0.999], "dora": [0.9995 + x for x in (0.001, -0.001, 0.0001)]}
    alike = [replace(each, trainable_parameters=1000) for each in runs(**losses)]
    found = recommend(summarise([run("base", 0, 2.0), *alike], "lora", 2.0, is_strict=True))
    assert found.method == "dora" and "equivalent to lora within 2%, and as small." in found.text


def test_methods_that_diverged_are_told_beside_the_others():
    found = told(runs(base=[2.0], lora=[1.0, None, 1.0], lora_r1=STEADY, dora=moved(1.05)))
    assert found.method == "lora_r1" and "lora diverged at one seed or more, and is not compared." in found.text


def test_a_circuit_that_diverged_in_a_rung_is_not_said_to_be_behind():
    standings = (
        Standing("lora", {"peft_type": "LORA", "r": 8}, 1e-3, 1.0, 0.0, 0.0, True),
        Standing("qtha", {"preset": "qtha"}, 1e-3, None),
    )
    found = told(runs(base=[2.0], lora=STEADY, lora_r1=moved(1.05)), rungs=[Rung(1, 8, (1000,), standings)])
    assert "Whether the circuit of qtha helps cannot be told: it diverged within 8 steps." in found.text
    assert "was not asked" not in found.text


def test_of_one_group_of_test_rows_nothing_is_claimed():
    rows = {"eval_row_losses": ((5.0, 5), (6.0, 5)), "eval_row_groups": (0, 0)}
    found = [replace(each, **rows) for each in runs(base=[2.0], lora=STEADY, lora_r1=moved(1.05))]
    text = recommend(summarise(found, "lora", 1.0, is_strict=True)).text
    assert text.startswith("Nothing is decided between lora and lora_r1 (the test rows are one row or one group, ")


def test_the_report_has_the_recommendation_and_no_second_answer_beside_it():
    found = runs(base=[2.0], lora=moved(1.0, 0.01), dora=moved(0.99), lora_r1=moved(1.01))
    text = told(found, margin=1.0).text
    assert text.startswith("Nothing is decided between lora and each of dora and lora_r1 ")
    results = {"runs": [each.to_json() for each in found], "summary": {"lora": {"reference": "lora"}}}
    alone = Content.read(results).conclusion
    assert "dora has the lowest held-out loss" in alone and "is better than lora_r1" in alone
    assert Content.read({**results, "recommendation": {"text": text}}).conclusion == text
