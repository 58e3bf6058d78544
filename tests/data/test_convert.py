"""Rows of every format become the same conversation, or an error that names the row."""

import json

import pytest

from qweft.data.convert import to_conversation
from qweft.data.row import RowError
from tests.data.examples import TURNS

QUESTION, ANSWER = TURNS
ASKED_AND_ANSWERED = [("user", "2+2?"), ("assistant", "4")]


def convert(row):
    """Role and text of each message of a row."""
    return [(message.role, message.content) for message in to_conversation(row, "here").messages]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS},
        {"messages": json.dumps(TURNS)},
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
        {"prompt": "2+2?", "completion": "4"},
        {"prompt": [QUESTION], "completion": [ANSWER]},
        {"prompt": "2+2?", "response": "4"},
        {"instruction": "2+2?", "input": "", "output": "4"},
        {"instruction": "", "input": "2+2?", "output": "4", "question": "q", "answer": "other"},
        {"question": "2+2?", "answer": 4},
        {"query": "2+2?", "response": "4", "type": "GSM_Rephrased"},
        {"problem": "2+2?", "reannotated_assistant_content": "4", "solution": "other"},
        {"reannotated_messages": TURNS, "messages": []},
        {"input": "2+2?", "reasoning_content": None, "content": "4"},
        {"prompt": "", "instruction": " ", "messages": "", "question": "2+2?", "answer": "4"},
    ],
)
def test_every_format_gives_the_same_conversation(row):
    assert convert(row) == ASKED_AND_ANSWERED


def test_an_instruction_takes_input_context_and_history():
    row = {"instruction": "Add", "input": 0, "output": "4", "history": '[["hi", "hello"]]', "context": "sums"}
    earlier = [("user", "hi"), ("assistant", "hello")]
    assert convert(row) == [*earlier, ("user", "Add\n\n0\n\nsums"), ("assistant", "4")]


def test_a_system_column_becomes_the_first_message():
    assert convert({"question": "q", "answer": "a", "system": "Be kind."})[0] == ("system", "Be kind.")


def test_a_system_column_may_repeat_the_system_message():
    turns = [{"role": "developer", "content": "Be  kind.\n"}, *TURNS]
    assert convert({"messages": turns, "system": "Be kind."})[0] == ("system", "Be  kind.\n")
    with pytest.raises(RowError, match="its column system and its system message differ"):
        convert({"messages": turns, "system": "Be brief."})


def test_turns_after_the_last_answer_are_left_out():
    assert convert({"messages": [*TURNS, {"role": "user", "content": "so?"}]}) == ASKED_AND_ANSWERED


WITH_THOUGHT = ("assistant", "<think>\nadd\n</think>\n\n4")


@pytest.mark.parametrize(
    "row", [{"question": "2+2?", "answer": "4"}, {"messages": TURNS}, {"input": "2+2?", "content": "4"}]
)
def test_a_column_with_a_thought_stands_before_the_answer(row):
    assert convert({**row, "reasoning_content": "\nadd\n"})[1] == WITH_THOUGHT
    assert convert({**row, "reasoning_content": " "}) == ASKED_AND_ANSWERED


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_a_message_may_have_its_thought(key):
    assert convert({"messages": [QUESTION, {**ANSWER, key: "add"}]})[1] == WITH_THOUGHT


def test_a_thought_that_is_in_the_answer_stands_once():
    answer = {"role": "assistant", "content": "<think>add</think>4", "thinking": "add"}
    row = {"messages": [QUESTION, answer], "reasoning_content": "add"}
    assert convert(row)[1] == ("assistant", "<think>add</think>4")


def group(**row):
    return to_conversation(row, "here").group


def test_rows_that_ask_the_same_are_one_group():
    assert group(question="Q  one", answer="a") == group(prompt="q ONE", completion="b", system="s")
    assert group(question="Q one", answer="a") != group(question="Q two", answer="a")


def test_a_column_names_the_group():
    assert group(question="Q one", answer="a", group=7) == "7"


def test_rewritten_questions_are_one_group():
    assert group(query="x", response="y", original_question="Q one") == group(question="q  one", answer="a")


def test_the_first_question_decides_the_group():
    assert group(messages=TURNS * 2) == group(messages=TURNS)
    greeting = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "Hello!"}]
    assert group(messages=[*greeting, *TURNS]) == group(messages=TURNS)


def test_conversations_without_a_question_are_told_apart_by_all_of_their_text():
    groups = []
    for system in ("a", "b", "a", "b"):
        for answer in ("c", "d"):
            turns = [{"role": "system", "content": system}, {"role": "assistant", "content": answer}]
            groups.append(group(messages=turns))
    assert len(set(groups)) == 4


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "q", "answer": " "}, "answer"),
        ({"messages": [{"role": "user", "content": "q"}]}, "no answer"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "asks for it"),
        ({"messages": [{"role": "usr", "content": "q"}]}, "role 'usr'"),
        ({"messages": [QUESTION, {**ANSWER, "reasoning_content": ["r"]}]}, "thought of message 2"),
        ({"messages": [QUESTION, {**ANSWER, "weight": 0}]}, "not to learn"),
        ({"instruction": "q", "output": "a", "history": ["x"]}, "history"),
        ({"question": "q", "context": {"title": "t"}, "answer": "a"}, "context is dict, not text"),
        ({"question": "q", "answer": float("inf")}, "answer is inf"),
        ({"question": "q", "answer": "a\x00b"}, "NUL"),
        ({"question": "q\ud800", "answer": "a"}, "half a character"),
    ],
)
def test_a_bad_row_is_named(row, problem):
    with pytest.raises(RowError) as fault:
        to_conversation(row, "data.jsonl, row 3")
    assert str(fault.value).startswith("data.jsonl, row 3: ")
    assert problem in str(fault.value)
