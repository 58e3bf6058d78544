"""A look at data before training."""

import json

import pytest

from qweft.cli.main import main
from qweft.data.config import DataConfig
from qweft.data.preview import find_spans, preview_data
from qweft.data.tokens import tokenise
from tests.data.examples import make_conversation, write_rows
from tests.tiny_folder import save_tiny_model

ROWS = [{"question": f"How many is {number}?", "answer": f"It is {number}."} for number in range(20)]
LONG_ROW = {"messages": [{"role": "user", "content": "hello " * 80}, {"role": "assistant", "content": "hi"}] * 2}


def preview_long_row(tmp_path, tokenizer, **changes):
    source = write_rows(tmp_path / "rows.jsonl", [*ROWS, LONG_ROW])
    config = DataConfig(source, validation_rows=2, test_rows=2, max_length=64, **changes)
    return preview_data(config, tokenizer)


def test_formats_and_parts_are_counted(tmp_path, chatml):
    preview = preview_long_row(tmp_path, chatml)
    assert preview.report.formats == {"question [+ context] + answer": 20, "messages (role, content)": 1}
    assert preview.report.rows == 21
    assert preview.report.parts["test"].rows == 2
    assert preview.report.parts["train"].rows == 16


def test_lengths_are_those_of_whole_rows(tmp_path, chatml):
    preview = preview_long_row(tmp_path, chatml)
    assert preview.lengths["most"] > 64 > preview.lengths["median"]
    assert preview.learned["least"] > 2


def test_rows_that_are_dropped_are_named(tmp_path, chatml):
    preview = preview_long_row(tmp_path, chatml, overlong="drop")
    assert "too long for data.max_length" in preview.report.describe()


def test_three_rows_are_shown(tmp_path, chatml):
    assert len(preview_long_row(tmp_path, chatml).shown) == 3


def test_rows_are_shown_with_what_is_learned(chatml):
    conversation = make_conversation("äöü 你好?", "How many 😀 are there?", "hello", "hi 你")
    row = tokenise(conversation, chatml)
    spans = find_spans(row, chatml)
    assert "".join(text for text, _ in spans) == chatml.decode(row["input_ids"])
    learned = [text for text, is_learned in spans if is_learned]
    assert learned == ["How many 😀 are there?<|im_end|>", "hi 你<|im_end|>"]


@pytest.fixture
def check(tmp_path, capsys):
    """`qweft data check` on a file with a tiny model; returns what it prints."""
    model = ["--model.name", save_tiny_model(tmp_path / "model"), "--data.max_length", "48"]

    def run(source, *options):
        assert main(["data", "check", str(source), *model, *options]) == 0
        return capsys.readouterr().out

    return run


def test_the_command_shows_formats_lengths_and_examples(tmp_path, check):
    source = write_rows(tmp_path / "rows.jsonl", ROWS * 8)
    printed = " ".join(check(source, "--data.test_rows", "4").split())
    assert "160 rows of question [+ context] + answer" in printed
    assert "tokens of a row" in printed
    assert "⟦It is" in printed
    assert "no test rows" not in printed


def test_the_command_warns_of_missing_test_rows(tmp_path, check):
    source = write_rows(tmp_path / "rows.jsonl", ROWS)
    printed = " ".join(check(source, "--data.test_rows", "0").split())
    assert "no test rows: training judges on them; raise data.test_rows" in printed


def test_the_command_counts_texts_and_their_rows(tmp_path, check):
    source = tmp_path / "book.txt"
    source.write_text("It was a dark night, and they sat by the fire.\n\n" * 3000)
    preview = json.loads(check(source, "--data.test_rows", "4", "--json"))
    assert preview["formats"] == {"text": pytest.approx(19, abs=2)}
    assert preview["rows"] > 100


def test_the_command_lists_data_sets_by_name(capsys):
    assert main(["data", "list", "--json"]) == 0
    names = [data_set["name"] for data_set in json.loads(capsys.readouterr().out)]
    assert "GSM8K" in names
    assert "embedded:gsm_symbolic" in names
