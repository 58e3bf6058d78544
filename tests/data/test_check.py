"""A look at data before training."""

import json

import pytest

from qweft.cli.main import main
from qweft.data.config import DataConfig
from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.notes import describe_overlap
from qweft.data.preview import find_spans, preview_data
from qweft.data.tokens import tokenise
from tests.data.test_held_out_sources import write
from tests.tiny_folder import save_tiny_model


def config(source, **changes):
    return DataConfig(**{"source": source, "validation_rows": 2, "test_rows": 2, "max_length": 64} | changes)


ROWS = [{"question": f"How many is {number}?", "answer": f"It is {number}."} for number in range(20)]


def test_formats_lengths_and_what_would_be_cut(tmp_path, chatml):
    long = {"messages": [{"role": "user", "content": "hello " * 80}, {"role": "assistant", "content": "hi"}] * 2}
    found = preview_data(config(write(tmp_path / "rows.jsonl", [*ROWS, long])), chatml)
    assert found.report.formats == {"question [+ context] + answer": 20, "messages (role, content)": 1}
    assert found.report.rows == 21 and found.report.parts["test"].rows == 2
    assert found.lengths["most"] > 64 > found.lengths["median"] and found.learned["least"] > 2
    assert found.report.parts["train"].rows == 16 and len(found.shown) == 3
    dropped = preview_data(config(write(tmp_path / "rows.jsonl", [*ROWS, long]), overlong="drop"), chatml)
    assert "too long for data.max_length" in dropped.report.describe()


def test_rows_are_shown_with_what_is_learned(chatml, talk):
    row = tokenise(talk("äöü 你好?", "How many 😀 are there?", "hello", "hi 你"), chatml)
    found = find_spans(row, chatml)
    assert "".join(text for text, _ in found) == chatml.decode(row["input_ids"])
    assert [text for text, is_learned in found if is_learned] == [
        "How many 😀 are there?<|im_end|>",
        "hi 你<|im_end|>",
    ]


def test_what_training_and_held_out_rows_share(chatml, talk):
    long = "How many apples are there? There are 12 apples. hello how are you hi there"
    train = [talk("a", "b"), talk("what", long)]
    held_out = [talk(" A ", "c"), talk("d", "B"), talk("why", f"well {long}"), talk("new", "words")]
    note = describe_overlap("test", {"train": train, "test": [*held_out, talk("other", long)]})
    assert "2 test rows repeat" in note and describe_overlap("test", {"train": train, "test": held_out[1:]}) == ""
    text = Conversation((Message(TEXT, long),), "g")
    assert "1 test row repeats" in describe_overlap("test", {"train": [text], "test": [text]})


def test_the_command(tmp_path, capsys):
    model = ["--model.name", save_tiny_model(tmp_path / "model"), "--data.max_length", "48"]
    assert main(["data", "check", write(tmp_path / "rows.jsonl", ROWS * 8), *model, "--data.test_rows", "4"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "160 rows of question [+ context] + answer" in out and "⟦It is" in out and "tokens of a row" in out
    assert "no test rows" not in out
    assert main(["data", "check", write(tmp_path / "rows.jsonl", ROWS), *model, "--data.test_rows", "0"]) == 0
    assert "no test rows: training judges on them; raise data.test_rows" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "book.txt").write_text("It was a dark night, and they sat by the fire.\n\n" * 3000)
    assert main(["data", "check", str(tmp_path / "book.txt"), *model, "--data.test_rows", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["formats"] == {"text": pytest.approx(19, abs=2)} and found["rows"] > 100
    assert main(["data", "list", "--json"]) == 0
    assert "GSM8K" in [each["name"] for each in json.loads(capsys.readouterr().out)]
