"""Formats of rows: every format says the same, columns are named, preferences are refused, other columns are told."""

import json

import pytest

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.convert import to_conversation
from qweft.data.formats import find_format, unread_columns
from qweft.data.load import load_data
from qweft.data.row import RowError
from tests.data.test_held_out_sources import write

ASKED = [("user", "2+2?"), ("assistant", "4")]
TURNS = [{"role": role, "content": content} for role, content in ASKED]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]


def said(row):
    return [(message.role, message.content) for message in to_conversation(row, "here").messages]


def texts(conversation):
    return [message.content for message in conversation.messages]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS},
        {"messages": json.dumps(TURNS)},
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
        {"prompt": "2+2?", "completion": "4"},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
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
def test_every_format_says_the_same(row):
    assert said(row) == ASKED


def test_an_instruction_takes_input_context_and_history():
    row = {"instruction": "Add", "input": 0, "output": "4", "history": '[["hi", "hello"]]', "context": "sums"}
    assert said(row) == [("user", "hi"), ("assistant", "hello"), ("user", "Add\n\n0\n\nsums"), ("assistant", "4")]


def test_a_system_column_goes_first_unless_it_is_there():
    assert said({"question": "q", "answer": "a", "system": "Be kind."})[0] == ("system", "Be kind.")
    turns = [{"role": "developer", "content": "Be  kind.\n"}, *TURNS]
    assert said({"messages": turns, "system": "Be kind."})[0] == ("system", "Be  kind.\n")
    with pytest.raises(RowError, match="system"):
        said({"messages": turns, "system": "Be brief."})


def test_turns_after_the_last_answer_are_left_out():
    assert said({"messages": [*TURNS, {"role": "user", "content": "so?"}]}) == ASKED


@pytest.mark.parametrize(
    "row", [{"question": "2+2?", "answer": "4"}, {"messages": TURNS}, {"input": "2+2?", "content": "4"}]
)
def test_a_chain_of_thought_stands_before_its_answer(row):
    thought = "<think>\nadd\n</think>\n\n4"
    assert said({**row, "reasoning_content": "\nadd\n"})[1] == ("assistant", thought)
    assert said({**row, "reasoning_content": " "}) == ASKED
    for key in ("reasoning_content", "thinking", "reasoning"):
        assert said({"messages": [TURNS[0], {**TURNS[1], key: "add"}]})[1] == ("assistant", thought)
    own = {"messages": [TURNS[0], {"role": "assistant", "content": "<think>add</think>4", "thinking": "add"}]}
    assert said({**own, "reasoning_content": "add"})[1] == ("assistant", "<think>add</think>4")


def test_groups():
    def group(**row):
        return to_conversation(row, "here").group

    assert group(question="Q  one", answer="a") == group(prompt="q ONE", completion="b", system="s")
    assert group(question="Q one", answer="a") != group(question="Q two", answer="a")
    assert group(question="Q one", answer="a", group=7) == "7"
    assert group(query="x", response="y", original_question="Q one") == group(question="q  one", answer="a")
    assert group(messages=TURNS * 2) == group(messages=TURNS)
    greeting = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "Hello!"}]
    assert group(messages=[*greeting, *TURNS]) == group(messages=TURNS)
    rows = [[{"role": "system", "content": s}, {"role": "assistant", "content": a}] for s in "ab" for a in "cd"]
    assert len({group(messages=row) for row in [*rows, *rows]}) == 4


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"question": "q", "answer": " "}, "answer"),
        ({"messages": [{"role": "user", "content": "q"}]}, "no answer"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "asks for it"),
        ({"messages": [{"role": "usr", "content": "q"}]}, "role 'usr'"),
        ({"messages": [TURNS[0], {**TURNS[1], "reasoning_content": ["r"]}]}, "thought of message 2"),
        ({"messages": [TURNS[0], {**TURNS[1], "weight": 0}]}, "not to learn"),
        ({"instruction": "q", "output": "a", "history": ["x"]}, "history"),
        ({"question": "q", "context": {"title": "t"}, "answer": "a"}, "context is dict, not text"),
        ({"question": "q", "answer": float("inf")}, "answer is inf"),
        ({"question": "q", "answer": "a\x00b"}, "NUL"),
        ({"question": "q\ud800", "answer": "a"}, "half a character"),
    ],
)
def test_a_bad_row_is_named(row, word):
    with pytest.raises(RowError) as fault:
        to_conversation(row, "data.jsonl, row 3")
    assert str(fault.value).startswith("data.jsonl, row 3: ") and word in str(fault.value)


@pytest.mark.parametrize("row", [{"words": "once"}, {"Question": "q", "Answer": "a"}, {"question": "q"}, {}])
def test_an_unknown_format_tells_the_columns_the_formats_and_the_way_out(row):
    with pytest.raises(RowError) as fault:
        to_conversation(row, "here")
    assert all(word in str(fault.value) for word in [*row, "question [+ context] + answer", "--data.columns"])


@pytest.mark.parametrize(
    ("row", "columns", "expected"),
    [
        ({"Frage": "q", "Antwort": "a"}, {"prompt": "Frage", "response": "Antwort"}, ["q", "a"]),
        ({"item": {"q": "q", "a": "a"}}, {"question": "item.q", "answer": "item.a"}, ["q", "a"]),
        ({"q": "q", "instruction": "x", "output": "y", "a": "a"}, {"question": "q", "answer": "a"}, ["q", "a"]),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, {"response": "chosen"}, ["q", "a"]),
        ({"prompt": "q", "chosen": TURNS, "rejected": TURNS}, {"messages": "chosen"}, ["2+2?", "4"]),
        ({"prompt": "q", "completion": "a", "label": 0}, {"label": ""}, ["q", "a"]),
        ({"question": "q", "answer": "a", "text": "words"}, {"text": "text"}, ["words"]),
        ({"question": "q", "answer": "a", "rules": "s"}, {"system": "rules"}, ["s", "q", "a"]),
    ],
)
def test_columns_are_named(tmp_path, chatml, row, columns, expected):
    source = write(tmp_path / "a.jsonl", [row] * 3)
    data = load_data(DataConfig(source, columns=columns, validation_rows=0, test_rows=0), chatml)
    assert texts(data.conversations["train"][0]) == expected


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "DPOTrainer"),
        ({"chosen": TURNS, "rejected": TURNS}, "DPOTrainer"),
        ({"prompt": "q", "completion": "a", "label": False}, "KTOTrainer"),
        ({"messages": TURNS, "label": True}, "KTOTrainer"),
    ],
)
def test_preferences_are_refused(tmp_path, chatml, row, word):
    """And not left out either: then the good ones alone would have to be told from the bad."""
    config = DataConfig(write(tmp_path / "a.jsonl", [row] * 3), validation_rows=0, test_rows=0, skip_bad_rows=True)
    with pytest.raises(QweftError, match=f"a.jsonl, row 1: .*{word}"):
        load_data(config, chatml)


def test_columns_that_are_not_read_are_told(tmp_path, chatml):
    row = {"question": "q", "answer": "a", "Context": ["c"], "Input": "i", "note": "", "score": float("nan")}
    assert unread_columns(row, find_format(row, "here")) == ["Context", "Input"]
    row = {"messages": TURNS, "tools": TOOLS, "functions": TOOLS}
    assert unread_columns(row, find_format(row, "here")) == ["functions"]
    row = {"question": "q", "answer": "a", "tools": "hammer"}
    assert unread_columns(row, find_format(row, "here")) == ["tools"]
    source = write(tmp_path / "a.jsonl", [{"question": f"{n}", "answer": "a", "Topic": n % 2} for n in range(20)])
    report = load_data(DataConfig(source, validation_rows=2, test_rows=2), chatml).report
    assert report.unread == {"Topic": 20} and "Topic (20 rows)" in report.describe()
