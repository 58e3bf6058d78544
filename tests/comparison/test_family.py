"""Questions of a comparison judged together: Holm's correction, the best method, and interim analyses."""

import numpy as np
import pytest
from benchmarks import judges

from qweft.comparison.judge.corrections import holm, interim_levels
from qweft.comparison.judge.statistics import InterimAnalysis
from qweft.comparison.judge.summarise import asked_pairs, summarise, undecided_methods
from qweft.comparison.judge.summary import compare_methods
from qweft.comparison.judge.verdicts import answer_questions
from qweft.comparison.report.decision import describe_conclusion
from tests.comparison.comparison_examples import runs


@pytest.mark.parametrize("count", [1, 2, 7])
def test_holm_is_the_closed_test_of_bonferroni(count):
    """p of a question: the largest, over all sets of nulls that hold it, of size times the set's smallest p."""
    found = np.random.default_rng(count).uniform(0, 0.3, count)
    for place, corrected in enumerate(holm(list(found))):
        sets = [[i for i in range(count) if mask >> i & 1] for mask in range(2**count)]
        closed = max(len(s) * min(found[i] for i in s) for s in sets if place in s)
        assert corrected == pytest.approx(min(1.0, closed))


def test_the_family_is_every_pair_that_the_findings_ask_once():
    made = summarise(runs(lora=[1.0] * 3, qtha=[0.9] * 3, mpo=[1.0] * 3, mlp_linear=[1.0] * 3))
    asked = ("qtha", "mpo"), ("qtha", "mlp_linear"), ("qtha", "lora"), ("mpo", "lora"), ("mlp_linear", "lora")
    assert {frozenset(pair) for pair in asked_pairs(made)} == {frozenset(pair) for pair in asked}


def test_the_best_method_is_corrected_for_all_pairs_unless_it_is_asked():
    losses = {"lora": [1.0, 1.01, 0.99], "dora": [0.9, 0.91, 0.9], "lora_r1": [1.0, 1.02, 1.03]}
    made = summarise(runs(**losses))
    asked, chosen = compare_methods(made["dora"], made["lora"]), compare_methods(made["dora"], made["lora_r1"])
    assert asked.difference.corrected_p <= 2 * asked.difference.p_value * 1.001  # two questions: against the reference
    pairs = [("lora", "dora"), ("lora", "lora_r1"), ("dora", "lora_r1")]
    every = holm([compare_methods(made[a], made[b], InterimAnalysis()).difference.p_value for a, b in pairs])
    assert chosen.difference.corrected_p == pytest.approx(
        every[2], rel=0.05
    )  # percent of the one or the other method's loss


def test_equivalences_are_corrected_by_holm_for_the_questions_of_the_config():
    steady = [1.0, 1.001, 0.999]
    losses = {"lora": steady, "dora": [1.002, 1.001, 1.003], "lora_r1": [1.003, 1.0, 1.004], "ia3": [1.1, 1.1, 1.2]}
    made = summarise(runs(**losses), "lora", 1.5)
    found = [compare_methods(made[name], made["lora"]) for name in ("dora", "lora_r1", "ia3")]
    corrected = [pairing.equivalence.corrected_p for pairing in found]
    assert corrected == pytest.approx(holm([pairing.equivalence.p_value for pairing in found]), rel=1e-9)
    assert corrected[0] == pytest.approx(3 * found[0].equivalence.p_value)
    assert [pairing.direction for pairing in found] == ["equivalent", "equivalent", "not decided"]


def test_the_levels_of_the_looks_add_up():
    assert interim_levels([3, 6, 12]) == pytest.approx([0.0125, 0.0125, 0.025])
    assert interim_levels([5]) == [0.05]


def interim_analyses(*counts):
    pairs = zip(counts, interim_levels(counts), strict=True)
    return [InterimAnalysis(None, level, tuple(range(n)), k, len(counts)) for k, (n, level) in enumerate(pairs, 1)]


def test_a_question_is_decided_at_its_first_analysis_and_stays():
    qtha = [0.900, 0.901, 0.902, 1.3, 1.2, 1.1]
    made = summarise(runs(lora=[1.0] * 6, qtha=qtha), analyses=interim_analyses(3, 6))
    found = compare_methods(made["qtha"], made["lora"])
    assert (found.direction, len(found.paired.seeds), found.analysis.number) == ("lower", 3, 1)
    assert undecided_methods(made) == set() and "An earlier interim analysis" in describe_conclusion(made)
    late = summarise(runs(lora=[1.0] * 6, qtha=[0.9, 0.99, 0.95, 0.93, 0.94, 0.935]), analyses=interim_analyses(3, 6))
    found = compare_methods(late["qtha"], late["lora"])
    assert (found.direction, len(found.paired.seeds), found.analysis.number) == ("lower", 6, 2)
    assert undecided_methods(
        summarise(runs(lora=[1.0] * 3, qtha=[0.9, 1.1, 0.95]), analyses=interim_analyses(3, 6)[:1])
    ) == {"lora", "qtha"}


def test_what_an_earlier_analysis_decided_is_open_again_once_a_run_diverges():
    """Seeds that a method got for another question count, too: to leave them out would flatter it."""
    made = summarise(
        runs(lora=[1.0] * 6, qtha=[0.9, 0.901, 0.902, None, None, 0.9], mpo=[1.0] * 3, mlp_linear=[1.0] * 3),
        analyses=interim_analyses(3, 6),
    )
    found = {(each.topic, each.other): each for each in answer_questions(made) if each.method == "qtha"}
    assert found["reference", "lora"].direction == found["circuit", ""].direction == "not decided"
    assert found["circuit", "mpo"].pairing.reason == "a run diverged at 2 of 6 seeds"
    assert "qtha" not in undecided_methods(made)  # no seed can decide it


def test_looking_three_times_errs_at_most_one_time_in_twenty():
    """Of 300 comparisons a cell; the standard error at 5% is 1.3, and analyses at 0.05 each err up to 11%."""
    rows = [row for row in judges.looks_rows(300) if row["rows"] == 96]
    assert max(row["shown at 0.05 each"] for row in rows) > 8
    assert all(row["shown"] <= 7.5 and row["equivalent at the margin"] <= 7.5 for row in rows)


def test_looking_three_times_at_four_questions_errs_at_most_one_time_in_twenty():
    """Of 200 comparisons a cell; the standard error at 5% is 1.5."""
    for row in judges.families_rows(200):
        assert row["any false equivalence, uncorrected"] > 9
        assert row["any false equivalence, Holm"] <= 8 and row["any false difference, Holm"] <= 8
