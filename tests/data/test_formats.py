"""Formats are recognised by their columns, columns can be named, and preferences are refused."""

import pytest

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.convert import to_conversation
from qweft.data.formats import find_format, unread_columns
from qweft.data.load import load_data
from qweft.data.row import RowError
from tests.data.examples import TURNS, write_rows

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]


@pytest.mark.parametrize("row", [{"words": "once"}, {"Question": "q", "Answer": "a"}, {"question": "q"}, {}])
def test_an_unknown_format_tells_the_columns_the_formats_and_the_way_out(row):
    with pytest.raises(RowError) as fault:
        to_conversation(row, "here")
    for expected in (*row, "question [+ context] + answer", "--data.columns"):
        assert expected in str(fault.value)


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
    source = write_rows(tmp_path / "a.jsonl", [row] * 3)
    data = load_data(DataConfig(source, columns=columns, validation_rows=0, test_rows=0), chatml)
    first = data.conversations["train"][0]
    assert [message.content for message in first.messages] == expected


@pytest.mark.parametrize(
    ("row", "trainer"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "DPOTrainer"),
        ({"chosen": TURNS, "rejected": TURNS}, "DPOTrainer"),
        ({"prompt": "q", "completion": "a", "label": False}, "KTOTrainer"),
        ({"messages": TURNS, "label": True}, "KTOTrainer"),
    ],
)
def test_preferences_are_refused(tmp_path, chatml, row, trainer):
    """And not left out either: then the good ones alone would have to be told from the bad."""
    source = write_rows(tmp_path / "a.jsonl", [row] * 3)
    config = DataConfig(source, validation_rows=0, test_rows=0, skip_bad_rows=True)
    with pytest.raises(QweftError, match=f"a.jsonl, row 1: .*{trainer}"):
        load_data(config, chatml)


@pytest.mark.parametrize(
    ("row", "unread"),
    [
        (
            {"question": "q", "answer": "a", "Context": ["c"], "Input": "i", "note": "", "score": float("nan")},
            ["Context", "Input"],
        ),
        ({"messages": TURNS, "tools": TOOLS, "functions": TOOLS}, ["functions"]),
        ({"question": "q", "answer": "a", "tools": "hammer"}, ["tools"]),
    ],
)
def test_columns_that_hold_something_and_are_not_read_are_found(row, unread):
    assert unread_columns(row, find_format(row, "here")) == unread


def test_the_report_counts_columns_that_are_not_read(tmp_path, chatml):
    rows = [{"question": f"{number}", "answer": "a", "Topic": number % 2} for number in range(20)]
    source = write_rows(tmp_path / "a.jsonl", rows)
    report = load_data(DataConfig(source, validation_rows=2, test_rows=2), chatml).report
    assert report.unread == {"Topic": 20}
    assert "Topic (20 rows)" in report.describe()
