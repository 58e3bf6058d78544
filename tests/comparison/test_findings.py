"""The sentences: what is shown, what is not, and what is open."""

import dataclasses

import numpy as np
import pytest
from research import evidence
from scipy import stats

from qweft.comparison.findings import findings
from qweft.comparison.results import Run
from qweft.comparison.statistics import paired
from qweft.comparison.summarise import summarise
from tests.comparison.comparison_examples import ADAPTERS, run, runs, verdicts

WORSE = [1.018, 1.020, 1.024]
ROWS = ((40.0, 10), (30.0, 8), (50.0, 12))


def found(**losses):
    return findings(summarise(runs(**losses)))


def topic_of(finding):
    return "control" if finding.topic == "circuit" and finding.other else finding.topic


def one(found, topic, method):
    wanted = [f for f in found if (topic_of(f), f.method) == (topic, method)]
    assert len(wanted) == 1
    return wanted[0]


def test_the_sentence_on_a_worse_hybrid():
    finding = one(found(lora=[1.0, 1.0, 1.0], qtha=WORSE), "reference", "qtha")
    assert finding.text == (
        "qtha better than lora (LoRA, rank 8) at equal steps: no, +2.1% [+1.3, +2.8] (3 seeds: +1.8, +2.0, +2.4; "
        "p = 0.0072; smallest visible effect 0.95%), with 82% fewer parameters."
    )
    assert finding.direction == "higher" and finding.corrected == finding.p_value
    assert finding.p_value == pytest.approx(stats.ttest_1samp(100 * (np.array(WORSE) - 1), 0).pvalue)
    assert finding.difference == pytest.approx(100 * (np.mean(WORSE) - 1))
    assert finding.interval == pytest.approx((1.3, 2.8), abs=0.05)


def test_the_sentence_on_a_better_hybrid_of_seven_seeds():
    made = found(lora=[1.0] * 7, qtha=[0.97, 0.975, 0.968, 0.966, 0.972, 0.971, 0.97])
    assert one(made, "reference", "qtha").text == (
        "qtha better than lora (LoRA, rank 8) at equal steps: yes, -3.0% [-3.2, -2.7] (7 seeds: -3.0, -2.5, -3.2, "
        "-3.4, -2.8, -2.9, -3.0; p < 0.0001; smallest visible effect 0.36%), with 82% fewer parameters."
    )


def test_the_sentence_on_a_twin_that_is_as_good():
    made = found(lora=[1.0] * 3, qtha=[0.99, 1.0, 1.01], mlp_linear=[1.0, 1.0, 1.0])
    assert one(made, "control", "qtha").text == (
        "qtha better than its classical twin mlp_linear at equal steps: not decided, +0.0% [-2.5, +2.5] "
        "(3 seeds: -1.0, +0.0, +1.0; p = 1.00; smallest visible effect 3.1%), with 64% fewer parameters."
    )


def test_a_planted_better_method_is_found_on_every_question():
    better = [0.95, 0.96, 0.955]
    made = found(
        lora=[1.0] * 3, lora_r1=[1.01] * 3, mpo=[1.02] * 3, mlp_linear=[1.0] * 3, frozen_linear=[1.0] * 3, qtha=better
    )
    asked = [(topic_of(f), f.other, f.direction) for f in made if f.method == "qtha"]
    assert asked == [
        ("circuit", "", "lower"),
        ("reference", "lora", "lower"),
        ("size", "lora_r1", "lower"),
        ("control", "mpo", "lower"),
        ("control", "mlp_linear", "lower"),
        ("control", "frozen_linear", "lower"),
    ]
    assert made[0].text == (
        "Does the circuit help qtha? Yes (smallest visible effect 1.5%): better than no circuit (mpo): yes, than "
        "mlp_linear: yes. Training its angles helps (against frozen_linear): yes."
    )
    assert "lora_r1 (LoRA, rank 1) at equal steps and size: yes" in one(made, "size", "qtha").text


def test_a_better_circuit_needs_a_classical_twin_to_be_said_to_help():
    made = found(lora=[1.0] * 3, mpo=[1.0] * 3, qtha=[0.95, 0.96, 0.955])
    assert made[0].direction == "open"
    assert made[0].text == (
        "Does the circuit help qtha? Open: better than no circuit (mpo): yes; a classical twin of its form was not run."
    )


def test_without_a_network_without_a_circuit_the_answer_is_open_unless_a_run_says_no():
    twin = found(lora=[1.0] * 3, mlp_linear=[1.0] * 3, qtha=[0.95, 0.96, 0.955])
    assert twin[0].direction == "open" and "the same network without a circuit was not run" in twin[0].text
    worse = found(lora=[1.0] * 3, mlp_linear=[0.9] * 3, qtha=[0.95, 0.96, 0.955])
    assert worse[0].direction == "higher"


def controls(**changes):
    """A better hybrid with both controls, some of their adapters or steps changed."""
    made = runs(lora=[1.0] * 3, qtha=[0.95, 0.96, 0.955])
    for method in ("mpo", "mlp_linear"):
        own = {"adapter": {**ADAPTERS[method], **changes.get(method, {})}, "steps": changes.get("steps", 4)}
        made += [run(method, seed, 1.0, **own) for seed in range(3)]
    return findings(summarise(made))


def test_a_method_that_differs_in_more_than_its_core_is_no_control():
    assert controls()[0].direction == "lower"
    smaller = controls(mpo={"r": 1})
    assert smaller[0].direction == "open"
    assert smaller[0].text == (
        "Does the circuit help qtha? Open: better than mlp_linear: yes; mpo was run, but differs in r (1, not 8)."
    )
    assert [f.other for f in smaller if topic_of(f) == "control"] == ["mlp_linear"]
    elsewhere = controls(mlp_linear={"target_modules": ["k_proj"]})
    assert elsewhere[0].direction == "open"
    assert elsewhere[0].text.endswith("yes; mlp_linear was run, but differs in target_modules (k_proj, not None).")
    shorter = controls(steps=1)
    assert shorter[0].text == (
        "Does the circuit help qtha? Open: mpo was run, but differs in steps (1, not 4); mlp_linear was run, but "
        "differs in steps (1, not 4)."
    )


def test_of_two_candidates_the_one_that_is_a_control_counts():
    made = runs(lora=[1.0] * 3, qtha=[0.95, 0.96, 0.955], mpo=[1.0] * 3, mlp_linear=[1.0] * 3)
    nearer = {"adapter": {**ADAPTERS["mpo"], "r": 7}, "trainable_parameters": 180}
    made += [run("mpo_r7", seed, 0.5, **nearer) for seed in range(3)]
    found = findings(summarise(made))
    assert found[0].direction == "lower" and "mpo_r7" not in found[0].text


def test_a_control_whose_runs_all_diverged_is_still_the_control():
    made = runs(lora=[1.0] * 3, qtha=[0.95, 0.96, 0.955], mlp_linear=[1.0] * 3)
    made += [run("mpo", seed, None, steps=2) for seed in range(3)]
    assert "no circuit (mpo): not decided" in findings(summarise(made))[0].text


def test_adapters_that_were_not_recorded_are_no_controls():
    made = [run(m, s, 0.9, adapter=None) for m in ("qtha", "mpo") for s in range(3)]
    assert one(findings(summarise(made)), "circuit", "qtha").text == (
        "Does the circuit help qtha? Open: a classical twin of its form was not run; mpo was run, but its adapter was "
        "not recorded."
    )


def test_one_classical_twin_that_is_better_says_no():
    made = found(
        lora=[1.0] * 3,
        mpo=[1.0] * 3,
        mlp_linear=[0.95, 0.96, 0.97],
        fourier_linear=[0.90, 0.91, 0.92],
        product_linear=[0.95, 0.96, 0.96],
        qtha=[0.95, 0.96, 0.96],
    )
    assert made[0].direction == "higher"
    assert made[0].text == (
        "Does the circuit help qtha? No (smallest visible effect 2%): better than no circuit (mpo): yes, than "
        "mlp_linear: not decided, than fourier_linear: no. Entanglement helps (against product_linear): not decided."
    )


def test_a_constant_must_be_beaten_and_is_no_classical_twin():
    better = {"lora": [1.0] * 3, "mpo": [1.0] * 3, "qtha": [0.95, 0.96, 0.955]}
    alone = found(**better, bias_linear=[1.0] * 3)
    assert alone[0].direction == "open"
    assert alone[0].text == (
        "Does the circuit help qtha? Open: better than no circuit (mpo): yes, than bias_linear: yes; a classical twin "
        "of its form was not run."
    )
    assert found(**better, mlp_linear=[1.0] * 3, bias_linear=[0.95, 0.96, 0.955])[0].direction == "not decided"
    assert found(**better, mlp_linear=[1.0] * 3, bias_linear=[0.90, 0.91, 0.92])[0].direction == "higher"


def test_twins_of_another_form_or_other_maps_do_not_answer():
    made = runs(lora=[1.0] * 3, mlp_weighted=[1.0] * 3, mlp_linear=[1.0] * 3, qtha=[0.9] * 3, qwthn=[0.9] * 3)
    made += [run("dense", s, 0.9, adapter={"preset": "quantum_lora", "r": 8}) for s in range(3)]
    controls = [(f.method, f.other) for f in findings(summarise(made)) if topic_of(f) == "control"]
    assert controls == [("qtha", "mlp_linear"), ("qwthn", "mlp_weighted")]
    assert one(findings(summarise(made)), "circuit", "dense").text == (
        "Does the circuit help dense? Open: the same network without a circuit and a classical twin of its form were "
        "not run."
    )


def test_the_linear_core_is_the_network_without_a_circuit_and_the_identity_where_that_is_not_run():
    identity = [run("plain", s, 1.0, adapter={"preset": "mpo", "core": "identity", "r": 8}) for s in range(3)]
    with_both = findings(summarise(identity + runs(lora=[1.0] * 3, mpo=[1.0] * 3, qtha=[0.9] * 3)))
    assert one(with_both, "control", "qtha").other == "mpo"
    alone = findings(summarise(identity + runs(lora=[1.0] * 3, qtha=[0.9] * 3)))
    assert one(alone, "control", "qtha").other == "plain"


def test_a_twin_under_another_name_is_said_to_be_one():
    stand_in = [run("stand_in", s, 1.0, adapter={"preset": "qtha", "core": "mlp_linear", "r": 8}) for s in range(3)]
    text = one(findings(summarise(stand_in + runs(lora=[1.0] * 3, qtha=[0.9] * 3))), "control", "qtha").text
    assert text.startswith("qtha better than its classical twin stand_in (mlp_linear) at equal steps:")


def test_a_method_against_itself_is_not_shown():
    losses = [1.0, 1.1, 1.2]
    made = found(lora=losses, lora_r1=losses, qtha=losses, mpo=losses, mlp_linear=losses)
    for finding in made:
        if finding.topic != "fairness":
            assert finding.direction == "not decided" and "not decided" in finding.text.lower()
    assert one(made, "other", "lora_r1").text == (
        "lora_r1 better than lora (LoRA, rank 8) at equal steps: not decided, the losses are equal, with 80% fewer "
        "parameters."
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_not_shown_however_large_the_difference(seeds):
    text = one(found(lora=[1.0] * seeds, qtha=[0.5] * seeds), "reference", "qtha").text
    listed = "1 seed: -50.0" if seeds == 1 else "2 seeds: -50.0, -50.0"
    assert f": not decided, -50.0% ({listed}; at least 3 seeds are needed), with" in text


def test_a_diverged_run_is_not_shown():
    text = one(found(lora=[1.0] * 4, qtha=[0.5, 0.51, 0.52, None]), "reference", "qtha").text
    assert ": not decided, -49.0% (3 seeds: -50.0, -49.0, -48.0; a run diverged at 1 of 4 seeds), with" in text
    text = one(found(lora=[1.0], qtha=[None]), "reference", "qtha").text
    assert ": not decided, a run diverged at 1 of 1 seeds, with" in text


def test_an_interval_that_excludes_zero_and_a_test_that_does_not_agree():
    qtha = [1.02, 1.018, 1.004, 0.9995, 1.005, 1.01]
    text = one(found(lora=[1.0] * 6, qtha=qtha), "reference", "qtha").text
    assert "not decided, +0.9% [+0.1, +1.8]" in text and "sign-flip p = 0.062, above 0.05;" in text


def test_small_differences_keep_their_digits():
    text = one(found(lora=[1.0] * 3, qtha=[1.0004, 1.0005, 1.0006]), "reference", "qtha").text
    assert "no, +0.05% [+0.0" in text and "(3 seeds: +0.04, +0.05, +0.06;" in text


def test_a_claim_never_reads_as_zero():
    text = one(found(lora=[1.0] * 3, qtha=[1.00002, 1.000021, 1.000022]), "reference", "qtha").text
    assert "no, +0.002% [+0.002, +0.002] (3 seeds: +0.002, +0.002, +0.002; p = 0.00076;" in text


def test_missing_controls_are_open():
    made = found(lora=[1.0] * 3, qtha=[0.9] * 3)
    assert one(made, "size", "qtha").direction == one(made, "circuit", "qtha").direction == "open"


def test_a_lora_of_another_size_is_not_called_equal():
    made = runs(lora=[1.0] * 3, qtha=[0.9] * 3) + [run("small", s, 1.0, trainable_parameters=120,
        adapter={"peft_type": "LORA", "r": 1}) for s in range(3)]  # fmt: skip
    text = one(findings(summarise(made)), "size", "qtha").text
    assert text.startswith("qtha better than small (LoRA, rank 1), the LoRA nearest in size, at equal steps: yes")
    assert "50% more parameters" in text


def test_at_equal_wall_clock():
    time = {"matches_time": "qtha", "matches_parameters": None}
    made = runs(lora=[1.0] * 3, qtha=[0.91, 0.92, 0.93])
    made += [run("lora_longer", s, 0.8, steps=9, budget=time, adapter={"peft_type": "LORA", "r": 8}) for s in range(3)]
    made += [run("lora_r1", s, 1.0) for s in range(3)]
    asked = findings(summarise(made))
    assert one(asked, "time", "qtha").text.startswith(
        "qtha better than lora_longer (LoRA, rank 8) at equal wall-clock: no, +15.0% ["
    )
    assert one(asked, "size", "qtha").other == "lora_r1"
    assert not [f for f in asked if f.method == "lora_longer"]  # its steps are not the reference's


def test_a_hybrid_given_the_references_time_is_held_against_it_and_nothing_else():
    made = runs(lora=[1.0] * 3, qtha=[0.9] * 3, mpo=[0.9] * 3)
    shorter = {"steps": 3, "budget": {"matches_time": "lora"}, "adapter": {"preset": "qtha", "r": 8}}
    made += [run("qtha_shorter", s, 0.95, **shorter) for s in range(3)]
    asked = [f for f in findings(summarise(made)) if f.method == "qtha_shorter"]
    assert [(f.topic, f.other) for f in asked] == [("reference", "lora")]
    assert "at equal wall-clock: yes" in asked[0].text


def test_a_comparison_in_which_all_were_given_one_methods_time():
    made = runs(lora=[1.0] * 3)
    made += [run(m, s, 0.9, steps=3, budget={"matches_time": "lora"}) for m in ("qtha", "mpo") for s in range(3)]
    assert "(the same maps, no circuit) at equal wall-clock" in one(findings(summarise(made)), "control", "qtha").text


def test_other_steps_are_said():
    made = runs(lora=[1.0] * 3) + [run("qtha", s, 0.9, steps=7) for s in range(3)]
    assert "qtha better than lora (LoRA, rank 8) at 7 steps against 4: yes" in verdicts(summarise(made))[1]


def test_other_adapters_are_held_against_the_reference():
    made = found(lora=[1.0] * 3, dora=[0.98, 0.981, 0.982], qtha=[0.9] * 3)
    assert one(made, "other", "dora").text.startswith("dora better than lora (LoRA, rank 8) at equal steps: yes, -1.9%")


def test_the_most_important_comes_first():
    made = found(dora=[1.0] * 3, mpo=[1.0] * 3, lora=[1.0] * 3, lora_r1=[1.0] * 3, qwthn=[0.9] * 3, qtha=[0.9] * 3)
    topics = [topic_of(f) for f in made]
    assert topics == sorted(topics, key=["circuit", "reference", "time", "size", "control", "other", "fairness"].index)
    assert [f.method for f in made[:2]] == ["qwthn", "qtha"]


def test_the_number_of_corrected_differences_is_said():
    assert not any("The questions are on" in f.text for f in found(lora=[1.0] * 3, dora=[1.0] * 3))
    few = found(lora=[1.0] * 2, lora_r1=[1.0] * 2, qtha=[0.9] * 2, qwthn=[0.9] * 2)  # of two seeds there is no p
    assert not any("The questions are on" in f.text for f in few)
    many = found(lora=[1.0] * 3, lora_r1=[1.0] * 3, qtha=[0.9] * 3, qwthn=[0.9] * 3)
    assert sum(f.difference is not None for f in many) == 5
    assert any(
        f.text.startswith("The questions are on 5 differences. Each p of theirs is corrected for all of them")
        for f in many
    )


def test_differences_without_a_p_are_counted_where_p_is_corrected_for_them():
    losses = {
        "lora": [1.0, 1.01, 1.02],
        "ia3": [0.9, 0.91, 0.95],
        "dora": [1.0, 1.02, 1.05],
        "lora_r1": [1.0, None, 1.0],
    }
    summary = summarise(runs(**losses))
    said = (
        "Of the 3 differences of the questions 2 have a p, corrected for all 3 (Holm); intervals and the equivalence "
    )
    said += "of a pair are not."
    assert said in verdicts(summary)
    pairing = paired(summary["ia3"], summary["lora"])
    assert pairing.corrected == pytest.approx(3 * pairing.p_value)
    strict = " ".join(verdicts(summarise(runs(**losses), is_strict=True)))
    assert (
        "Of the 3 differences of the questions 2 have a p, corrected for all 3 (Bonferroni), and so is equivalence"
        in strict
    )


def test_without_the_reference_all_pairs_of_a_recommendation_are_counted():
    losses = {"lora": [1.0, None, 1.02], "ia3": [0.9, 0.91, 0.95], "dora": [1.0, 1.02, 1.05]}
    said = "Of the 3 differences of the questions 1 has a p, corrected for all 3 (Bonferroni)"
    assert said in " ".join(verdicts(summarise(runs(**losses), is_strict=True)))
    assert "corrected for all" not in " ".join(verdicts(summarise(runs(**losses))))


def test_the_corrected_p_decides_and_both_stand_in_the_sentence():
    """Alone the difference is shown; among other questions, p is multiplied by as many as are left."""
    qtha = [1.018, 1.020, 1.028]
    alone = one(found(lora=[1.0] * 3, qtha=qtha), "reference", "qtha")
    assert alone.direction == "higher" and "corrected" not in alone.text
    made = found(lora=[1.0] * 3, qtha=qtha, dora=[1.0, 1.02, 0.98], lora_r1=[1.0, 0.98, 1.021])
    among = one(made, "reference", "qtha")
    assert among.p_value == pytest.approx(alone.p_value) and among.corrected > 0.05
    assert (
        among.direction == "not decided" and f"p = {alone.p_value:.2g}, corrected {among.corrected:.2g}" in among.text
    )


def test_intervals_without_the_chance_of_the_rows_are_pointed_out():
    made = runs(lora=[1.0] * 3, qtha=[0.9, 0.91, 0.92])
    assert any("hold the chance of the seeds alone" in text for text in verdicts(summarise(made)))
    recorded = [dataclasses.replace(entry, eval_row_losses=ROWS) for entry in made]
    assert not any("seeds alone" in text for text in verdicts(summarise(recorded)))
    diverged = [*recorded, run("dora", 0, None)]  # has no rows, and needs none
    assert not any("seeds alone" in text for text in verdicts(summarise(diverged)))


def test_no_reference():
    assert one(found(qtha=[1.0] * 3), "reference", "qtha").direction == "open"


def test_the_method_whose_time_was_given_has_no_run():
    made = [run("lora"), run("qtha", budget={"matches_time": "gone"})]
    assert one(findings(summarise(made)), "time", "qtha").direction == "open"


def test_the_base_model_alone_has_no_findings():
    assert verdicts(summarise(runs(base=[1.0]))) == []


def test_one_learning_rate_for_all_is_pointed_out():
    assert any("same learning rate (0.001)" in f.text for f in found(lora=[1.0], qtha=[1.0]))
    made = [run("lora"), run("qtha", learning_rate=0.01)]
    assert not any("same learning rate" in text for text in verdicts(summarise(made)))
    alike = summarise(runs(lora=[1.0], qtha=[1.0]))
    assert any("same learning rate" in f.text for f in findings(alike, ["lora"]))  # qtha's is given
    assert not any("same learning rate" in f.text for f in findings(alike, ["lora", "qtha"]))
    apart = summarise([run("lora"), run("mpo", learning_rate=0.01), run("qtha", learning_rate=0.1)])
    told = "No search of this comparison says how far {} from the best."
    named = ((("lora", "qtha"), "the rate of mpo is"), (("lora",), "the rates of mpo and qtha are"))
    for searched, whose in (((), "the learning rates are"), *named):
        assert told.format(whose) in [f.text for f in findings(apart, searched)]
    assert not any(f.text.startswith("No search") for f in findings(apart, ["lora", "mpo", "qtha"]))


def test_a_training_loss_with_a_term_of_its_own_is_pointed_out():
    ranks = run("ranks", adapter={"peft_type": "adalora"})
    said = "The training loss of ranks has AdaLoRA's own term in it: only the held-out losses compare."
    assert said in verdicts(summarise([run("lora"), ranks])) and said not in verdicts(summarise([run("lora")]))


def test_a_method_that_training_spoiled_is_pointed_out():
    """A rate at the edge of divergence beats no method of its own, and must not decide a comparison unseen."""
    spoiled = found(base=[1.2], lora=[1.0, 1.1, 1.3], qtha=[1.0, 1.0, 1.1])
    texts = [f.text for f in spoiled if f.topic == "fairness" and f.method]
    assert len(texts) == 1 and texts[0].startswith(
        "lora ended above the base model's loss at 1 of its 3 seeds (1.3000 against 1.2000): its learning rate (0.001)"
    )
    assert not any("ended above" in f.text for f in found(lora=[1.0], qtha=[1.3]))
    assert not any("ended above" in f.text for f in found(base=[1.2], lora=[1.0], qtha=[None]))


def test_nothing_is_called_significant():
    for finding in found(lora=[1.0] * 5, qtha=[0.5] * 5, mpo=[0.7] * 5):
        assert "significan" not in finding.text


def test_results_of_an_earlier_version_have_verdicts():
    results = evidence.read("demo")
    texts = verdicts(summarise([Run.from_json(record) for record in results["runs"]]))
    assert texts[0].startswith("Does the circuit help qtha? Open: better than no circuit (mpo): not decided;")
    assert any(
        text.startswith("qtha better than lora (LoRA, rank 4) at equal steps: not decided, +1.8%") for text in texts
    )


@pytest.mark.parametrize("large, said", [(50, False), (110, True)])
def test_a_group_that_holds_most_of_the_tokens_is_told(large, said):
    tokens = (large, *[10] * 5)
    found = [
        run(method, seed, loss, eval_row_losses=tuple((loss * count, count) for count in tokens))
        for method, loss in (("lora", 1.0), ("qtha", 1.1))
        for seed in range(3)
    ]
    told = [text for text in verdicts(summarise(found)) if "holds" in text]
    start = "One test row, or group of rows that belong together, holds 69% of the target tokens: the intervals tell"
    assert len(told) == said and all(text.startswith(start) for text in told)
