r"""The definitions of docs/evaluation.md, case by case: a reference, a reply, and the judgement by hand.

Judgements are written as four letters: S strict, A accurate, C whole chain, W whole answer; - where it does not hold.
"""

import pytest

from qweft.evaluation.final_answer import final_answers, marked_text, same_value, value_of
from qweft.evaluation.generation import Answer
from qweft.evaluation.metrics import text
from qweft.evaluation.metrics.reasoning import judge_reasoning, take_apart

HASHES = "6 * 7 = 42\n#### 42"
BOXED = "Six sevens.\n\\boxed{42}"
THOUGHT = "<think>\n6 * 7 = 42\n</think>\n\nThe answer is 42."
CHINESE = "六乘七等于42。\n答案：42"
BARE = "42"

CASES = [
    # marked as GSM8K marks it
    (HASHES, "6 * 7 = 42\n#### 42", "SACW"),
    (HASHES, "6 * 7 = 42\n#### 42.00", "SACW"),
    (HASHES, "7 and 6: 43\n#### 43", "--CW"),
    (HASHES, "6 * 7 = 42", "-A--"),
    (HASHES, "The answer is 42.", "-A-W"),
    (HASHES, "6 * 7 = 42\n#### 42\n#### 7", "--CW"),
    (HASHES, "I do not know.", "----"),
    (HASHES, "The cost - $42", "-A--"),
    (HASHES, "so $- 42$", "----"),
    (HASHES, "so $x = -\\frac{84}{2}$", "----"),
    (HASHES, "得 - 42", "----"),
    (HASHES, "Some.\n#### 42e2", "--CW"),
    (HASHES, "There were 42.\n#### 4,200", "--CW"),
    (HASHES, "As before.\n#### about 42", "-ACW"),
    (HASHES, "<think>6 * 7 = 42</think>\n#### 42", "SACW"),
    # boxed
    (BOXED, "Six sevens make \\boxed{42}.", "SACW"),
    (BOXED, "6 * 7.\n\\boxed{\\frac{84}{2}}", "SACW"),
    (BOXED, "6 * 7.\n\\boxed{x = 42}", "SACW"),
    ("So.\n\\boxed{\\frac12}", "So.\n\\boxed{\\tfrac{1}{2}}", "SACW"),
    ("So.\n\\boxed{(1,2)}", "So.\n\\boxed{(1, 2)}", "SACW"),
    ("So.\n\\boxed{3\\sqrt 2}", "So.\n\\boxed{3\\sqrt3}", "--CW"),
    (BOXED, "6 * 7 = 42\n#### 42", "-ACW"),
    (BOXED, "Halves.\n\\boxed{41\\text{ or }42}", "--CW"),
    # a thought of its own
    (THOUGHT, "<think>\n6 * 7 = 42\n</think>\n\n**Answer:** 42", "SACW"),
    (THOUGHT, "<think>\n6 * 7 = 41\n</think>\n\nThe answer is 41.", "--CW"),
    (THOUGHT, "<think>\n6 * 7 = 42. The answer is 42.", "----"),
    (THOUGHT, "<think>\n\n</think>\n\nThe answer is 42.", "SA-W"),
    (THOUGHT, "<think>\n6 * 7 = 42\n</think>\n\n42", "-AC-"),
    (THOUGHT, "6 * 7 = 42. The answer is 42.", "-A--"),
    # Chinese
    (CHINESE, "六乘七等于42。\n答案：42", "SACW"),
    (CHINESE, "6×7=42，因此，最终答案为：４２。", "SACW"),
    (CHINESE, "六乘七。\n答：42元", "SACW"),
    (CHINESE, "<think>六乘七等于42。答案是42。", "----"),
    (CHINESE, "答案是\\boxed{42}。", "SA-W"),
    # a bare number on record: any form of it is the form
    (BARE, "42", "SA-W"),
    (BARE, "6 * 7 = 42", "SACW"),
    (BARE, "The answer is 42.", "SA-W"),
]


def letters(found):
    held = (found.is_strict, found.is_accurate, found.has_whole_chain, found.has_whole_answer)
    return "".join(letter if holds else "-" for letter, holds in zip("SACW", held, strict=True))


@pytest.mark.parametrize(("reference", "reply", "wanted"), CASES)
def test_a_reply_is_judged_as_by_hand(reference, reply, wanted):
    assert letters(judge_reasoning(reference, reply, is_cut=False)) == wanted
    assert letters(judge_reasoning(reference, reply, is_cut=True)) == f"-{wanted[1]}--"


def test_both_marks_must_be_right_for_strict():
    found = judge_reasoning(HASHES, "x\n#### 41\nThe answer is 42.", is_cut=False)
    assert (found.is_accurate, found.is_strict, found.found) == (True, False, "42")


def test_a_prompt_that_opens_the_thought():
    whole = "6 * 7 = 42\n</think>\nThe answer is 42."
    assert letters(judge_reasoning(THOUGHT, whole, is_cut=False, opened=True)) == "SACW"
    assert letters(judge_reasoning(THOUGHT, "6 * 7: the answer is 42.", is_cut=False, opened=True)) == "----"


def test_a_reference_without_a_final_answer_is_not_judged():
    assert judge_reasoning("How are you?", "42", is_cut=False) is None


EQUAL = [
    ("1,234", "1234"), ("1,234,567.50", "1234567.5"), ("$3.50", "3.5"), ("US$ 3", "3"), ("-3", "−3"), ("-$5", "-5"),
    ("$-5", "-5"), ("3/4", "0.75"), ("\\dfrac{6}{8}", ".75"), ("1\\frac12", "1.5"), ("1½", "3/2"), ("50%", "0.5"),
    ("50\\%", "50"), ("50 percent", "1/2"), ("５０％", "50%"), ("12 km/h", "12"), ("3 m²", "3"), ("45^\\circ", "45"),
    ("42个", "42"), ("3万", "30000"), ("1.5亿元", "150000000"), ("5 million", "5000000"), ("x=5", "5"),
    ("10 per day", "10"), ("5 a day", "5"), ("300 K", "300"), ("(B)", "b."), ("1{,}000", "1000"), ("Yes.", "yes"),
]  # fmt: skip
DIFFERENT = [
    ("3:30", "3"), ("41 or 42", "41"), ("1/3", "0.333333"), ("50%", "0.5%"), ("1/0", "1"), ("1000000", "1000001"),
    ("-3", "3"), ("2(3)", "2"), ("2^3", "2"), ("2+3", "2"), ("1.5", "15"), ("yes", "no"), ("12,5", "125"),
    ("3-5", "3"), ("36\\pi", "36"), ("36 \\pi", "36"), ("5x", "5"), ("5x", "5y"), ("-2n", "-2"), ("2e", "2"),
    ("5x²", "5"), ("5x²", "5x"), ("5 million", "5"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "same"), [*((*pair, 1) for pair in EQUAL), *((*pair, 0) for pair in DIFFERENT)]
)
def test_values(one, other, same):
    assert same_value(value_of(one), value_of(other)) == same_value(value_of(other), value_of(one)) == bool(same)


@pytest.mark.parametrize(
    ("text", "mark", "found"),
    [
        ("12-5=7", "", "7"), ("共42个", "", "42"), ("from 3, 4 to 5.", "", "5"), ("v2 has 1,200.", "", "1,200"),
        ("<answer> a b </answer>", "<answer>", "a b"), ("\\boxed{\\sqrt{2}}", "boxed", "\\sqrt{2}"),
        ("#### Answer\n42 #### 7", "####", "7"), ("Answer: 3.5. And more", "said", "3.5"),
    ],
)  # fmt: skip
def test_where_the_final_answer_is(text, mark, found):
    last = list(final_answers(text).values())[-1]
    assert (last.mark, last.text) == (mark, found)


def test_steps_are_lines_and_sentences():
    assert take_apart("Two and two. That is 4!\n---\nDone\n#### 4").steps == 3
    assert take_apart("二加二。得四！\n#### 4").steps == 2


@pytest.mark.parametrize(
    ("reply", "handed_over"),
    [
        ("**Answer:** 42", "42"),
        ("The answer is **42**.", "42"),
        ("The answer is $x^2$.", "x^2"),
        ("The answer is x**2.", "x**2"),
        ("The answer is $42.", "$42"),
    ],
)
def test_bold_around_an_answer_is_not_handed_to_a_verifier(reply, handed_over):
    assert marked_text(reply) == handed_over


@pytest.mark.parametrize(
    ("reference", "reply"),
    [
        ("The answer is 3:30 pm.", "The answer is 3:45 pm."),
        (r"The answer is $2\times 10^3$.", r"The answer is $2\times 10^5$."),
        ("The answer is 3x+1.", "The answer is 3."),
        ("The answer is 3.", "The answer is 3:45."),
        ("Answer: Yes, 7 is prime.", "Answer: No, 7 is not prime."),
        ("The answer is x < -2.", "The answer is x < 2."),
        ("#### 3,4 or 34", "#### 34 or 34"),
        ("The answer is 36.", "The answer is $36\\pi$."),
        ("So \\boxed{1\\frac12, 3}", "So \\boxed{11/2, 3}"),
        ("The answer is 5.", "The answer is 5 million."),
    ],
)
def test_what_is_no_number_is_not_judged_by_its_first_one(reference, reply):
    found = judge_reasoning(reference, f"First this. {reply}", False)
    assert not found.is_accurate and not found.is_strict
    assert judge_reasoning(reference, f"First this.\n{reference}", False).is_accurate


@pytest.mark.parametrize(
    ("reference", "reply"),
    [
        ("The answer is 42.", "The answer is 84 / 2 = 42 clips."),
        ("#### 18", "The answer is 18 m^2."),
        ("#### 5", "The answer is 5, 3 more than before."),
        ("The answer is (3, 5).", "The answer is (3,5)."),
        ("#### 45", "The answer is $45/hour on average."),
        ("#### 45", "It costs 45\nB. is the answer to the other"),
        ("#### 5", "The answer is a non-negative 5."),
        ("#### 7", "It costs all of them minus 7"),
    ],
)
def test_the_same_in_other_words_is_accurate(reference, reply):
    assert judge_reasoning(reference, f"First this. {reply}", False).is_accurate


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("thought", ["", "We add."])
def test_a_thought_that_the_template_writes_counts_for_neither_side(opened, thought):
    """Qwen3's template writes an empty one before an answer without; its thinking kin open it in the prompt."""
    worked = "We add 4.\n1 + 4 = 5.\n#### 5"
    reference = f"<think>\n{thought}\n</think>\n\n{worked}" if thought else worked
    generated = f"{'' if opened else '<think>'}\n{thought}\n</think>\n\n{worked}"
    found = judge_reasoning(reference, generated, False, opened)
    assert found.is_accurate and found.is_strict and found.has_whole_chain and found.has_whole_answer
    answers = [Answer("", reference, generated, False, opened)] * 3
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    scores, _ = text.METRIC.score("", [], answers, answers)
    assert [each.adapted.value for each in scores] == pytest.approx([100] * len(scores))
