"""The sentences: what is shown, what is not, and what is open."""

import pytest

from qweft.comparison.summary import findings, summarise, verdicts
from tests.comparison.comparison_examples import run, runs


def sentences(**losses):
    return verdicts(summarise(runs(**losses)))


def one(found, topic, method):
    return next(finding for finding in found if finding.topic == topic and finding.method == method)


def test_the_sentence_on_a_worse_hybrid():
    text = sentences(lora=[1.0, 1.0, 1.0], qtha=[1.008, 1.013, 1.015])[0]
    assert text == (
        "qtha has a higher held-out loss than lora at equal rank 8: +1.2% "
        "(paired differences over 3 seeds: +0.8, +1.3, +1.5 %; chance alone makes 3 signs agree 1 time in 4), "
        "with 82% fewer parameters."
    )


def test_a_planted_better_method_is_found_on_every_question():
    lora, size, control = [1.0, 1.1, 1.2], [1.05, 1.15, 1.25], [1.02, 1.12, 1.22]
    made = runs(lora=lora, lora_r1=size, mpo=control, qtha=[0.9, 1.0, 1.1])
    found = [finding for finding in findings(summarise(made)) if finding.method == "qtha"]
    assert [(f.topic, f.other, f.direction) for f in found] == [
        ("reference", "lora", "lower"),
        ("size", "lora_r1", "lower"),
        ("circuit", "mpo", "lower"),
    ]
    assert found[2].text.startswith("The circuit seems to have helped qtha:")
    assert "a LoRA of equal size" in found[1].text


def test_a_circuit_that_does_not_help_is_said_in_plain_words():
    made = runs(lora=[1.0, 1.0, 1.0], mpo=[1.0, 1.0, 1.0], qtha=[1.1, 1.2, 1.1], qwthn=[0.9, 1.1, 0.9])
    found = findings(summarise(made))
    assert one(found, "circuit", "qtha").text.startswith("The circuit seems not to have helped qtha:")
    assert one(found, "circuit", "qwthn").text.startswith("Whether the circuit helped qwthn is not shown:")
    assert one(found, "circuit", "qwthn").direction == "not shown"


def test_a_method_against_itself_is_not_shown():
    found = findings(summarise(runs(lora=[1.0, 1.1, 1.2], qtha=[1.0, 1.1, 1.2], mpo=[1.0, 1.1, 1.2])))
    for finding in found:
        if finding.topic in ("reference", "circuit"):
            assert finding.direction == "not shown" and "not shown" in finding.text
    assert not any(word in f.text for f in found for word in ("lower", "higher", "to have helped qtha:"))


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_not_shown_however_large_the_difference(seeds):
    text = sentences(lora=[1.0] * seeds, qtha=[0.5] * seeds)[0]
    assert "not shown" in text and f"{seeds} seed" in text and "-50.0" in text


def test_signs_that_differ_are_not_shown_but_all_differences_are_listed():
    text = sentences(lora=[1.0, 1.0, 1.0], qtha=[0.9, 0.9, 1.01])[0]
    assert "not shown" in text and "do not agree" in text and "-10.0, -10.0, +1.0 %" in text


def test_small_differences_keep_their_digits():
    assert "+0.04, +0.05, +0.06 %" in sentences(lora=[1.0] * 3, qtha=[1.0004, 1.0005, 1.0006])[0]


def test_a_diverged_run_is_not_shown():
    text = sentences(lora=[1.0] * 4, qtha=[0.5, 0.5, 0.5, None])[0]
    assert "not shown" in text and "1 of 4 pairs diverged" in text


def test_missing_controls_are_open():
    found = findings(summarise(runs(lora=[1.0] * 3, qtha=[0.9] * 3)))
    assert one(found, "size", "qtha").direction == "open"
    assert one(found, "circuit", "qtha").direction == "open"
    assert "not run" in one(found, "circuit", "qtha").text


def test_a_lora_of_another_size_is_not_called_equal():
    made = runs(lora=[1.0] * 3, qtha=[0.9] * 3) + [run("small", s, 1.0, trainable_parameters=120,
        adapter={"peft_type": "LORA", "r": 1}) for s in range(3)]  # fmt: skip
    text = one(findings(summarise(made)), "size", "qtha").text
    assert "nearest in size" in text and "50% more parameters" in text


def test_a_control_of_another_network_does_not_answer_for_the_circuit():
    made = runs(lora=[1.0] * 3, mpo=[1.0] * 3)
    made += [run("dense", s, 0.9, adapter={"preset": "quantum_lora", "r": 8}) for s in range(3)]
    assert one(findings(summarise(made)), "circuit", "dense").direction == "open"


def test_no_reference():
    found = findings(summarise(runs(qtha=[1.0] * 3)))
    assert one(found, "reference", "qtha").direction == "open"


def test_the_base_model_alone_has_no_findings():
    assert verdicts(summarise(runs(base=[1.0]))) == []


def test_one_learning_rate_for_all_is_pointed_out():
    assert any("same learning rate (0.001)" in text for text in sentences(lora=[1.0], qtha=[1.0]))
    made = [run("lora"), run("qtha", learning_rate=0.01)]
    assert not any("same learning rate" in text for text in verdicts(summarise(made)))


def test_nothing_is_called_significant():
    for text in sentences(lora=[1.0] * 5, qtha=[0.5] * 5, mpo=[0.7] * 5):
        assert "significan" not in text
