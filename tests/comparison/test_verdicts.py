"""The verdicts on runs with chosen losses: what is significant, what is open, and what follows from them."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from qweft.comparison.judge.searches import describe_doubts
from qweft.comparison.judge.statistics import InterimAnalysis
from qweft.comparison.judge.summarise import summarise
from qweft.comparison.judge.summary import compare_methods
from qweft.comparison.judge.verdicts import answer_questions, best_method, compare_best
from qweft.comparison.report.decision import describe_conclusion, recommend
from qweft.comparison.report.wording import text_of
from tests.comparison.comparison_examples import ADAPTERS, run, runs

WORSE = [1.018, 1.020, 1.024]
BETTER = [0.95, 0.96, 0.955]
STEADY = [1.0, 1.001, 0.999]


def found(**losses):
    return answer_questions(summarise(runs(**losses)))


def topic_of(verdict):
    return "control" if verdict.topic == "circuit" and verdict.other else verdict.topic


def one(verdicts, topic, method):
    (verdict,) = [each for each in verdicts if (topic_of(each), each.method) == (topic, method)]
    return verdict


def moved(factor, wobble=0.0):
    """Losses at a factor of the steady ones, with some chance of their own."""
    return [factor * (loss + wobble * sign) for loss, sign in zip(STEADY, (1, -2, 1), strict=True)]


def told(made, reference="lora", margin=None, rungs=()):
    return recommend(summarise(made, reference, margin, is_strict=True), rungs)


def test_a_row_has_the_numbers_of_the_paired_test():
    verdict = one(found(lora=[1.0] * 3, qtha=WORSE), "reference", "qtha")
    assert (
        verdict.direction == "higher" and verdict.pairing.difference.corrected_p == verdict.pairing.difference.p_value
    )
    assert verdict.pairing.difference.p_value == pytest.approx(stats.ttest_1samp(100 * (np.array(WORSE) - 1), 0).pvalue)
    assert verdict.pairing.mean == pytest.approx(100 * (np.mean(WORSE) - 1))
    assert verdict.pairing.interval == pytest.approx((1.3, 2.8), abs=0.05)
    assert verdict.pairing.room == pytest.approx(verdict.pairing.interval[0])
    assert all(
        part in text_of(verdict) for part in ("no, +2.1% [+1.3, +2.8]", "p = 0.0072", "18% of lora's parameters")
    )


def test_a_planted_better_method_is_found_on_every_question_the_most_important_first():
    ones = dict.fromkeys(("dora", "lora", "mpo", "mlp_linear", "frozen_linear"), [1.0] * 3)
    made = found(**ones, lora_r1=[1.01] * 3, qtha=BETTER)
    assert [(topic_of(each), each.other, each.direction) for each in made if each.method == "qtha"] == [
        ("circuit", "", "lower"),
        ("reference", "lora", "lower"),
        ("size", "lora_r1", "lower"),
        ("control", "mpo", "lower"),
        ("control", "mlp_linear", "lower"),
        ("control", "frozen_linear", "lower"),
    ]
    assert [each.other for each in made[0].controls] == ["mpo", "mlp_linear"]  # an untrained circuit is no test of it
    assert {each.topic for each in made[6:]} == {"other"} and len(made) == 11


@pytest.mark.parametrize(
    ("losses", "direction"),
    [
        ({"mpo": [1.0] * 3}, "open"),  # no classical twin
        ({"mlp_linear": [1.0] * 3}, "open"),  # no network without a circuit
        ({"mlp_linear": [0.9] * 3}, "higher"),
        ({"mpo": [1.0] * 3, "mlp_linear": BETTER, "fourier_linear": [0.9, 0.91, 0.92]}, "higher"),
        ({"mpo": [1.0] * 3, "bias_linear": [1.0] * 3}, "open"),  # a constant is no classical twin
        ({"mpo": [1.0] * 3, "mlp_linear": [1.0] * 3}, "lower"),
    ],
)
def test_what_the_controls_say_of_the_circuit(losses, direction):
    assert found(lora=[1.0] * 3, qtha=BETTER, **losses)[0].direction == direction


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"mpo": {"r": 1}}, "differs in r (1, not 8)"),
        ({"steps": 1}, "differs in steps (1, not 4)"),
    ],
)
def test_a_method_that_differs_in_more_than_its_core_is_no_control(changes, lacking):
    made = runs(lora=[1.0] * 3, qtha=BETTER)
    for method in ("mpo", "mlp_linear"):
        own = {"adapter": {**ADAPTERS[method], **changes.get(method, {})}, "steps": changes.get("steps", 4)}
        made += [run(method, seed, 1.0, **own) for seed in range(3)]
    answer = answer_questions(summarise(made))[0]
    assert answer.direction == "open" and any(lacking in each for each in answer.lacking)


def test_of_several_candidates_the_nearest_true_control_counts():
    identity = [run("plain", s, 1.0, adapter={"preset": "mpo", "core": "identity", "r": 8}) for s in range(3)]
    both = answer_questions(summarise(identity + runs(lora=[1.0] * 3, mpo=[1.0] * 3, qtha=[0.9] * 3)))
    assert one(both, "control", "qtha").other == "mpo"
    alone = answer_questions(summarise(identity + runs(lora=[1.0] * 3, qtha=[0.9] * 3)))
    assert one(alone, "control", "qtha").other == "plain"
    forms = runs(lora=[1.0] * 3, mlp_weighted=[1.0] * 3, mlp_linear=[1.0] * 3, qtha=[0.9] * 3, qwthn=[0.9] * 3)
    pairs = [(each.method, each.other) for each in answer_questions(summarise(forms)) if topic_of(each) == "control"]
    assert pairs == [("qtha", "mlp_linear"), ("qwthn", "mlp_weighted")]


# what follows: the first sentences


def test_the_first_sentences_answer_for_the_circuit_as_its_verdict_does():
    """Equivalent to one of two controls at the level, but not after the correction, is not decided."""
    losses = {"lora": STEADY, "qtha": moved(1.0), "mpo": moved(1.001, 0.002), "mlp_linear": moved(1.05)}
    wide = summarise(runs(**losses), "lora", 50.0)
    alone = compare_methods(wide["qtha"], wide["mpo"], InterimAnalysis()).equivalence.farthest
    summary = summarise(runs(**losses), "lora", 1.01 * alone)
    answer, *controls = [each for each in answer_questions(summary) if each.topic == "circuit"]
    assert {each.other: each.direction for each in controls} == {"mpo": "not decided", "mlp_linear": "lower"}
    (pairing,) = [each.pairing for each in controls if each.other == "mpo"]
    assert pairing.equivalence.p_value < 0.05 < pairing.equivalence.corrected_p
    assert answer.direction == "not decided" and text_of(answer) in describe_conclusion(summary)
    assert "not needed" not in describe_conclusion(summary)
    every = answer_questions(summarise(runs(**losses), "lora", 4 * alone))[0]
    assert every.direction == "equivalent" and "not needed" in text_of(every)


def test_what_is_claimed_beside_the_questions():
    base = run("base", 0, 2.0)
    summary = summarise([base, *runs(lora=[1.0] * 3, dora=BETTER, mpo=[0.97, 0.98, 0.96], ia3=[1.0, None, 1.0])])
    assert [(each.method, each.other) for each in compare_best(summary)] == [("dora", "lora"), ("dora", "mpo")]
    assert compare_best(summary, is_recommended=True) == []
    lost = summarise([base, *runs(lora=[1.0, None, 1.0], dora=BETTER, mpo=[1.0] * 3)])
    assert [(each.method, each.other) for each in compare_best(lost, is_recommended=True)] == [("dora", "mpo")]


def test_methods_are_compared_at_the_seeds_that_both_have():
    hard = [0.0, 0.01, -0.01, 0.2, 0.21, 0.19]
    made = runs(lora=[1.2 + each for each in hard], mpo=[1.0 + each for each in hard], lora_r1=[1.05, 1.06, 1.04])
    assert best_method(summarise(made)) == "mpo" == recommend(summarise(made, "lora")).method


@pytest.mark.parametrize(
    ("losses", "reference", "margin", "method", "word"),
    [
        ({"lora": STEADY, "dora": moved(1.05), "lora_r1": moved(1.03, 0.001)}, "lora", None, "lora", "than the next"),
        ({"lora": moved(1.05), "dora": moved(1.02), "lora_r1": STEADY}, "lora", None, "lora_r1", "loss than lora"),
        ({"lora": STEADY, "lora_r1": [1.004, 0.998, 1.002]}, "lora", None, "lora", "Not decided between"),
        ({"lora": [1.004, 0.998, 1.002], "lora_r1": STEADY}, "lora", None, "lora_r1", "the lowest loss"),
        ({"lora": STEADY, "lora_r1": moved(1.0005, 0.0004)}, "lora", 1.0, "lora_r1", "the smallest of"),
        ({"lora": STEADY, "lora_r1": moved(1.0005, 0.0002), "dora": [1.06, 1.0, 1.04]}, "lora", 1.0, "lora", "Equival"),
        ({"lora": [1.0, 1.1], "lora_r1": [1.2, 1.3]}, "lora", None, "lora", "3 seeds"),
        ({"lora": [1.0, None, 1.0], "lora_r1": STEADY, "dora": moved(1.05)}, "lora", None, "lora_r1", "diverged: lora"),
    ],
)
def test_which_is_recommended(losses, reference, margin, method, word):
    answer = told(runs(base=[2.0], **losses), reference, margin)
    assert answer.method == method and answer.seed == 0 and word in answer.text


def test_the_loss_told_is_that_of_the_file_kept():
    answer = told(runs(base=[2.0], lora=[1.25, 1.0, 1.1], lora_r1=[1.5, 1.5, 1.5]))
    assert f"(seed {answer.seed})" in answer.text and "1.250" in answer.text and "2.000" in answer.text
    assert "no gain" in told(runs(base=[0.9], lora=STEADY, lora_r1=moved(1.05))).text
    assert told(runs(base=[2.0], lora=[None, None, None])) is None is told([run("base", 0, 2.0)])


@pytest.mark.parametrize(("size", "method"), [(500, "dora"), (1000, "dora"), (1001, "lora")])
def test_beside_those_that_are_open_an_equivalent_one_is_taken_if_it_is_lower_and_no_larger(size, method):
    losses = {"lora": STEADY, "lora_r1": moved(1.01, 0.02), "dora": moved(0.9999, 0.00001)}
    sizes = {"lora": 1000, "lora_r1": 2000, "dora": size}
    made = [dataclasses.replace(e, trainable_parameters=sizes.get(e.method, 0)) for e in runs(base=[2.0], **losses)]
    assert told(made, margin=0.1).method == method


def test_of_equivalent_ones_none_is_taken_that_is_further_behind_the_lowest_than_the_margin():
    sizes = {"lora": 1000, "dora": 2000, "lora_r1": 200}
    made = runs(base=[2.0], lora=STEADY, dora=moved(0.992), lora_r1=moved(1.0078))
    answer = told([dataclasses.replace(e, trainable_parameters=sizes.get(e.method, 0)) for e in made], margin=1.0)
    assert answer.method == "lora"


def test_without_the_leader_every_pair_that_may_be_claimed_shares_the_level():
    others = {name: moved(1 + place / 5000, 0.0001) for place, name in enumerate(("dora", "lora_r1", "mpo", "a", "b"))}
    for lora, count in (([1.0, None, 1.0], 15), (STEADY, 5)):
        judged = summarise(runs(base=[2.0], lora=lora, **others), "lora", 1.0, is_strict=True)
        pairing = compare_methods(judged["lora_r1"] if count == 15 else judged["lora"], judged["dora"])
        for test in (pairing.difference, pairing.equivalence):
            assert test.corrected_p == pytest.approx(min(1.0, count * test.p_value))


def test_better_rates_that_could_change_an_answer_are_named_once():
    verdict = one(found(lora=[1.0] * 3, qtha=WORSE), "reference", "qtha")
    doubted = dataclasses.replace(verdict, doubt="How far the rate of qtha is from its optimum is not known.")
    assert describe_doubts([verdict]) == "" and "qtha and lora" in describe_doubts([doubted, doubted])
    assert text_of(doubted).endswith("is not known.")
