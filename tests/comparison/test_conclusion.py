"""The conclusion of a comparison, in plain sentences, and the schedule of its runs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from qweft.comparison.conclusion import best_of, claimed, conclusion
from qweft.comparison.family import undecided
from qweft.comparison.findings import findings
from qweft.comparison.methods import Method
from qweft.comparison.phrases import effect_said
from qweft.comparison.recommendation import recommend
from qweft.comparison.schedule import Schedule, duration, what_it_is
from qweft.comparison.statistics import ONCE, Look, pair, paired
from qweft.comparison.summarise import summarise
from tests.comparison.comparison_examples import ADAPTERS, run, runs

BASE = [run("base", 0, 2.0, trainable_parameters=0, adapter=None)]
BETTER = [0.95, 0.96, 0.955]


def said(**losses):
    return conclusion(summarise([*BASE, *runs(**losses)]))


def test_a_winner_over_all_others():
    assert said(lora=[1.0] * 3, qtha=BETTER, mpo=[1.0] * 3, mlp_linear=[1.0] * 3) == (
        "qtha has the lowest held-out loss, 0.955 (52.2% below the base model's), and is better than every other "
        "method. The circuit helps qtha."
    )


def test_a_winner_over_some():
    told = said(lora=[1.0, 1.01, 1.02], qtha=[1.0, 1.03, 1.01], mpo=[1.2, 1.21, 1.22], mlp_linear=[1.0, 1.02, 1.02])
    assert "is better than mpo; qtha and mlp_linear are not shown to be worse." in told
    assert "Whether the circuit helps qtha is not decided." in told
    assert re.search(r"The smallest visible effect with 3 seeds and 4 steps was [\d.]+ to [\d.]+%, by pair\.$", told)


def test_nothing_is_decided():
    told = said(lora=[1.0, 1.01, 1.02], qtha=[1.0, 1.03, 1.01])
    assert "(49.5% below the base model's), but qtha is not shown to be worse." in told
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
    assert said(lora=[1.0] * 3).endswith("there is nothing to compare it with.")
    assert conclusion(summarise(BASE)) == "No method has a held-out loss yet."
    assert said(lora=[None] * 3) == "Every method diverged at one seed or more."


def test_a_run_above_the_untouched_model():
    assert "(50.0% above the base model's)" in said(lora=[3.0] * 3)


def test_the_range_of_smallest_visible_effects_is_that_of_undecided_pairs():
    made = runs(lora=[1.0, 1.01, 1.02], qtha=[1.0, 1.03, 1.01], mpo=[1.2, 1.21, 1.22], mlp_linear=[1.0, 1.02, 1.02])
    summary = summarise([*BASE, *made])
    asked = [("lora", "qtha"), ("lora", "mlp_linear"), ("qtha", "mlp_linear")]
    effects = [paired(summary[one], summary[other]).visible for one, other in asked]
    stated = re.search(r"was ([\d.]+) to ([\d.]+)%, by pair", conclusion(summary))
    assert [float(each) for each in stated.groups()] == pytest.approx([min(effects), max(effects)], rel=0.06)


def test_an_altered_circuit_does_not_narrow_what_could_be_seen():
    made = {
        "lora": [1.0, 1.01, 1.02],
        "qtha": [1.0, 1.03, 1.01],
        "mpo": [1.0, 1.02, 1.03],
        "mlp_linear": [1.0, 1.02, 1.02],
    }
    with_frozen = said(**made, frozen_linear=[1.0001, 1.0301, 1.0101])
    assert said(**made).split(" was ")[1] == with_frozen.split(" was ")[1]


def test_a_method_that_diverged_is_not_a_tie():
    told = said(lora=[1.0] * 3, qtha=[1.0, None, 1.0], mpo=[1.1] * 3)
    assert "and is better than mpo. qtha diverged at one seed or more and is not compared." in told


def test_a_hybrid_at_the_time_of_another_method_has_its_answer_at_equal_steps():
    made = runs(lora=[1.0] * 3, qtha=BETTER, mpo=[1.0] * 3, mlp_linear=[1.0] * 3)
    budget = {"matches_time": "lora", "matches_parameters": None, "step_seconds": 0.2, "basis_seconds": None}
    made += [
        run("qtha_equal_time", seed, loss, adapter=ADAPTERS["qtha"], budget=budget, steps=3)
        for seed, loss in enumerate(BETTER)
    ]
    told = conclusion(summarise([*BASE, *made]))
    assert "The circuit helps qtha." in told and "cannot be told" not in told


def test_what_a_method_is():
    def told(adapter):
        return what_it_is(Method("name", adapter, 1e-3, 57600))

    assert told({"peft_type": "LORA", "r": 1}) == "LoRA, rank 1: 57,600 trained parameters"
    words = {
        "tensor networks, between them a circuit, added to a linear map": {"preset": "qtha"},
        "tensor networks, between them a circuit, as a weight": {"preset": "qwthn"},
        "tensor networks, between them a perceptron in the circuit's place, added to a linear map": {
            "preset": "qtha", "core": "mlp_linear",
        },
        "tensor networks, a linear map between": {"preset": "mpo"},
        "tensor networks, nothing between": {"preset": "mpo", "core": "identity"},
        "dense maps, between them a circuit, added to a linear map": {"preset": "quantum_lora"},
        "a subspace and a sparse map, nothing between": {"preset": "sparse"},
        "DoRA, rank 4": {"peft_type": "LORA", "r": 4, "use_dora": True},
        "VERA of PEFT": {"peft_type": "VERA"},
    }  # fmt: skip
    for said, adapter in words.items():
        assert told(adapter) == f"{said}: 57,600 trained parameters"


def test_the_time_left_follows_the_costs(tmp_path):
    lora = Method("lora", {"peft_type": "LORA", "r": 1}, 1e-3, 57600)
    planned = Schedule(((None, 0), (lora, 0), (lora, 1)), (1.0, 4.0, 4.0), tmp_path, 90.0)

    def finish(name):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()

    assert planned.left([], 5.0) is None and planned.finished() == set()
    finish("base")
    assert planned.left([0], 10.0) == 80.0
    finish("lora-1")  # by another process, or before
    assert planned.left([0], 10.0) == 40.0 and planned.finished() == {0, 2}
    finish("lora-0")
    assert planned.left([0, 1], 50.0) is None
    assert planned.described() == [
        "3 runs: the base model, and 1 method at seeds 0, 1; about 2 min if the machine stays as it is",
        "  lora  LoRA, rank 1: 57,600 trained parameters",
    ]
    assert "about" not in replace(planned, first_seconds=0.0).described()[0]  # all runs are finished
    assert duration(4) == "10 s" and duration(10_000) == "2.8 h"


def test_methods_that_are_equivalent_by_a_stated_margin():
    losses = {"lora": [1.2] * 3, "qtha": [1.0] * 3, "mpo": [1.0005, 0.9996, 1.0001], "mlp_linear": [1.1] * 3}
    made = [*BASE, *runs(**losses)]
    told = conclusion(summarise(made, equivalent_within=0.5))
    assert "mpo is equivalent to it within 0.5%." in told
    assert "The circuit is not needed in qtha: a control without it is equivalent within 0.5%." in told
    assert "equivalent" not in conclusion(summarise(made))


def test_of_several_controls_each_has_its_share_of_the_level_of_an_equivalence():
    """One is enough for "not needed", so the chance that any is called equivalent falsely must not grow with them."""
    losses = {"lora": [1.2] * 3, "qtha": [1.0] * 3, "mpo": [1.001, 0.9995, 1.0003], "mlp_linear": [1.1, 1.12, 1.11]}
    levels = {share: replace(ONCE, questions=share) for share in (1, 2)}
    summary = summarise([*BASE, *runs(**losses)], equivalent_within=50.0)
    at = {share: paired(summary["qtha"], summary["mpo"], look).widest for share, look in levels.items()}
    assert at[1] < at[2]
    for margin, needed in (((at[1] + at[2]) / 2, True), (1.01 * at[2], False)):
        for methods in (("lora", "qtha", "mpo"), tuple(losses)):
            made = [*BASE, *runs(**{name: losses[name] for name in methods})]
            asked = summarise(made, equivalent_within=margin)
            (whole,) = [each for each in findings(asked) if each.topic == "circuit" and not each.other]
            is_short = needed and "mlp_linear" in methods
            assert whole.direction == ("not decided" if is_short else "equivalent"), (margin, methods)
            assert ("(none is equivalent at 1/2 of the level, the share of each)" in whole.text) == is_short
            assert {each.direction for each in findings(asked) if each.other == "mpo"} == {"equivalent"}
            assert undecided(asked) == ({"qtha", "mpo"} if is_short else set())  # so more seeds are asked for
    first = Look(level=0.05 * 3 / 4, seeds=(0, 1, 2), number=1, planned=2)
    looks = [first, replace(first, level=0.05 / 4, seeds=(0, 1, 2, 3), number=2)]
    more = {name: [*found, found[0]] for name, found in losses.items()}
    at = paired(summary["qtha"], summary["mpo"], replace(first, questions=2)).widest
    asked = summarise([*BASE, *runs(**more)], "lora", 0.99 * at, looks)  # the second look has what the first one lacks
    (whole,) = [each for each in findings(asked) if each.topic == "circuit" and not each.other]
    assert whole.direction == "equivalent" and asked["qtha"].looks["mpo"].number == 1


def test_the_effect_of_an_equivalence_is_that_of_the_control_that_decides_it():
    """The perceptron is equivalent as a pair, and not by its share of the level."""
    losses = {
        "lora": [1.2] * 3,
        "qtha": [1.0] * 3,
        "mpo": [1.001, 0.9995, 1.0003],
        "mlp_linear": [1.002, 0.999, 1.0006],
    }
    summary = summarise([*BASE, *runs(**losses)], equivalent_within=50.0)
    ends = [paired(summary["qtha"], summary["mlp_linear"], replace(ONCE, questions=n)).widest for n in (1, 2)]
    asked = summarise([*BASE, *runs(**losses)], equivalent_within=sum(ends) / 2)
    pairs = {name: paired(asked["qtha"], asked[name]) for name in ("mpo", "mlp_linear")}
    assert {pair.direction for pair in pairs.values()} == {"equivalent"}
    assert pairs["mpo"].visible < pairs["mlp_linear"].visible
    (whole,) = [each for each in findings(asked) if each.topic == "circuit" and not each.other]
    assert f"? Equivalent (smallest visible effect {effect_said(pairs['mpo'].visible)}): " in whole.text


def test_a_circuit_that_helped_at_the_first_look_is_not_equivalent_at_a_later_one():
    """A pair keeps the answer of the look that decided it, and so does the answer over the pairs."""
    others = [1.004, 1.0041, 1.0039, *[1.002, 1.0021, 1.0019] * 3]  # far ahead at three seeds, less so at the others
    losses = {"lora": [1.2] * 12, "qtha": [1.0] * 12, "mpo": others, "mlp_linear": [1.1, 1.101, 1.102] * 4}
    looks = [Look(level=0.0125 * n, seeds=tuple(range(3 * n**2)), number=n, planned=2) for n in (1, 2)]
    asked = summarise([*BASE, *runs(**losses)], "lora", 0.405, looks)
    later = paired(asked["qtha"], asked["mpo"], replace(looks[1], questions=2))
    (whole,) = [each for each in findings(asked) if each.topic == "circuit" and not each.other]
    assert later.direction == "equivalent" and whole.direction == "lower"


def test_a_shown_difference_within_the_margin_is_an_equivalence_that_says_so():
    losses = {"lora": [1.2, 1.21, 1.22], "qtha": [1.0, 1.01, 1.02], "mpo": [1.001, 1.0111, 1.0211]}
    made = [*BASE, *runs(**losses)]
    summary = summarise(made, equivalent_within=0.5)
    told = conclusion(summary)
    assert "and is better than lora. mpo is equivalent to it within 0.5%." in told and "not shown" not in told
    (text,) = [each.text for each in findings(summary) if each.other == "mpo"]
    assert ": equivalent within 0.5% (a smaller difference is shown), -0.1" in text
    assert "than every other method" in conclusion(summarise(made))
    alone = conclusion(summarise([*BASE, *runs(qtha=losses["qtha"], mpo=losses["mpo"])], "mpo", 0.5))
    assert "base model's). mpo is equivalent to it within 0.5%." in alone


def test_methods_with_different_seeds_are_ordered_at_those_that_they_share():
    # the seeds of a look that only some methods reach may be easy or hard for all
    hard = [0.0, 0.01, -0.01, 0.2, 0.21, 0.19]
    summary = summarise(runs(lora=[1.0 + each for each in hard], lora_r1=[1.05, 1.06, 1.04], base=[2.0]), "lora")
    assert summary["lora"].eval_loss > summary["lora_r1"].eval_loss
    words = (
        "lora (LoRA, rank 8) has the lowest held-out loss at the seeds that two methods share, 1.100 over its own seeds"
    )
    assert best_of(summary) == "lora" and conclusion(summary).startswith(words)
    assert "lora_r1" not in conclusion(summary).partition(" has the lowest")[0]
    assert recommend(summary).method == "lora"


def test_a_pair_is_equivalent_in_both_orders_or_in_none():
    """In percent of the lower loss the same differences are larger: a margin between the two holds in neither order."""
    random = np.random.default_rng(0)
    for _ in range(40):
        tokens, common = random.integers(20, 60, 12), random.gamma(64, 1 / 32, 12)
        rows, losses = [], []
        for above in (5.0, 0.0):
            per = [common * (1 + above / 100) + random.normal(0, 0.002, 12) + random.normal(0, 0.001) for _ in range(3)]
            rows.append({k: tuple((float(p * t), int(t)) for p, t in zip(each, tokens, strict=True)) for k, each in
                         enumerate(per)})  # fmt: skip
            losses.append({k: sum(a for a, _ in one) / sum(b for _, b in one) for k, one in rows[-1].items()})
        orders = [(0, 1), (1, 0)]
        wide = [max(map(abs, pair(losses[a], losses[b], rows[a], rows[b], 20.0).narrow or ())) for a, b in orders]
        between, above_both = sum(wide) / 2, max(wide) * 1.001
        for margin, answer in ((between, {"higher", "lower"}), (above_both, {"equivalent"})):
            found = {pair(losses[a], losses[b], rows[a], rows[b], margin).direction for a, b in orders}
            assert found == answer, (margin, wide)


def test_losses_of_zero_are_equivalent_to_nothing():
    zero, other = dict.fromkeys(range(3), 0.0), {0: 1.0, 1: 1.1, 2: 1.2}
    assert pair(zero, other, margin=0.5).direction in ("lower", "not decided")
    assert pair(other, zero, margin=0.5).direction == "not decided"


def test_the_method_taken_is_the_lowest_at_shared_seeds():
    hard = [0.0, 0.01, -0.01, 0.2, 0.21, 0.19]
    found = runs(lora=[1.2 + each for each in hard], mpo=[1.0 + each for each in hard], lora_r1=[1.05, 1.06, 1.04],
                 base=[2.0])  # fmt: skip
    assert recommend(summarise(found, "lora")).method == "mpo"  # of two that are shown better than the reference
    alike = runs(lora=[1.0 + each for each in hard], mpo=[0.999, 1.012, 0.985], lora_r1=[1.03, 0.99, 1.02], base=[2.0])
    chosen = recommend(summarise(alike, "lora"))
    assert chosen.text.startswith("Nothing is decided") and chosen.method == "mpo"


def test_what_is_claimed_beside_the_questions():
    """The best method is held against each other one, whatever the reference."""
    found = summarise([*BASE, *runs(lora=[1.0] * 3, dora=BETTER, mpo=[0.97, 0.98, 0.96], ia3=[1.0, None, 1.0])])
    pairs = [(each.method, each.other) for each in claimed(found)]
    assert pairs == [("dora", "lora"), ("dora", "mpo")]
    assert claimed(found, is_recommended=True) == [] == claimed(summarise(BASE))
    clear = [*BASE, *runs(lora=[1.0, 1.01, 0.99], dora=[0.5, 0.51, 0.5], mpo=[1.1] * 3, ia3=[1.0, None, 1.0])]
    told = conclusion(summarise(clear))
    assert "is better than lora and mpo." in told and "ia3 diverged at one seed or more and is not compared" in told
    lost = summarise([*BASE, *runs(lora=[1.0, None, 1.0], dora=BETTER, mpo=[1.0] * 3)])
    assert [(each.method, each.other) for each in claimed(lost, is_recommended=True)] == [("dora", "mpo")]


def test_the_size_of_a_run_is_that_of_the_pairs_that_are_open():
    losses = {"lora": [0.5, 0.5, 0.501], "qtha": [1.0, 1.01, 1.02, 1.0, 1.01]}
    mpo, twin = [1.01, 1.0, 1.01, 1.01, 1.02], [1.0, 1.02, 1.01, 1.01]
    told = said(**losses, mpo=mpo, mlp_linear=twin)
    assert told.startswith("lora (LoRA, rank 8) has the lowest") and "is better than every other method" in told
    assert "The smallest visible effect with 4 to 5 seeds and 4 steps was" in told
    few = said(lora=[0.5] * 3, qtha=[1.0, 1.01, 1.02], mpo=[1.01, 1.0])
    assert "With 2 seeds no difference can be shown" in few


def test_a_method_with_another_number_of_steps_is_named_unless_its_time_was_equal():
    budget = {"matches_time": "lora", "matches_parameters": None}
    found = runs(lora=[1.0] * 3, dora=BETTER, ia3=[1.0] * 3)
    longer = [replace(each, steps=8) if each.method == "ia3" else each for each in found]
    assert "better than every other method. The budgets differ: dora had 4 steps, ia3 8." in conclusion(
        summarise(longer)
    )
    assert "budgets" not in conclusion(summarise(found))
    timed = [replace(each, steps=8, budget=budget) if each.method == "dora" else each for each in found]
    assert "The budgets differ: dora had 8 steps, ia3 4." in conclusion(summarise(timed))
    assert "budgets" not in conclusion(summarise([each for each in timed if each.method != "ia3"]))


def test_of_equal_losses_none_is_the_lowest_and_no_effect_is_seen():
    alike = [1.0, 1.01, 1.02]
    two = summarise([*BASE, *runs(lora=alike, dora=alike)])
    assert conclusion(two) == (
        "lora (LoRA, rank 8) has the lowest held-out loss, 1.010 (49.5% below the base model's), as has dora (the "
        "losses are equal)."
    )
    assert recommend(two).text.startswith(
        "Nothing is decided between lora and dora (the losses are equal): take lora (LoRA, rank 8), as no loss was "
        "lower."
    )
    assert paired(two["lora"], two["dora"]).visible is None
    told = said(lora=alike, dora=alike, mpo=[1.2, 1.21, 1.22], ia3=[1.0, 1.03, 1.01])
    others = "as has dora (the losses are equal), and is better than mpo; ia3 is not shown to be worse."
    assert others in told and "was 0" not in told
    many = said(lora=alike, dora=alike, mpo=alike, ia3=[1.2, 1.21, 1.22])
    assert "as have dora and mpo (the losses are equal), and is better than ia3." in many


def test_rows_without_targets_are_no_test_rows_of_the_conclusion():
    rows = [((3.0 + x, 2), (0.0, 0), (6.0 - x, 3), (2.0, 2)) for x in (0.0, 0.2, 0.3, 0.1, 0.4, 0.2)]
    losses = {"lora": [1.0, 1.01, 1.02], "dora": [1.0, 1.03, 1.01]}
    made = [replace(each, eval_row_losses=row) for each, row in zip(runs(**losses), rows, strict=True)]
    told = conclusion(summarise(made))
    assert "The smallest visible effect with 3 seeds, 4 steps and 3 independent test rows was " in told


def test_a_circuit_with_a_control_of_equal_losses_has_no_smallest_visible_effect():
    alike = [1.0, 1.01, 1.02]
    found = findings(summarise(runs(lora=[1.1, 1.11, 1.13], qtha=alike, mpo=alike, mlp_linear=alike)))
    assert found[0].text.startswith(
        "Does the circuit help qtha? Not decided: better than no circuit (mpo): not decided"
    )
