"""Rows read, split and tokenised: what is in the parts, and what the report accounts for."""

import json
from dataclasses import replace

import pytest

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from tests.data.examples import write_rows
from tests.data.tiny_tokenizer import learned_texts


@pytest.fixture
def config(tmp_path):
    """A hundred sums, of which ten have a long answer."""
    rows = []
    for first in range(10):
        for second in range(10):
            ending = " !" * 30 if first == 0 else ""
            rows.append({"question": f"{first}+{second}?", "answer": f"{first + second}{ending}"})
    source = write_rows(tmp_path / "sums.jsonl", rows)
    return DataConfig(source, validation_rows=10, test_rows=12, max_length=64)


def test_parts_have_the_sizes_that_were_asked_for(config, chatml):
    data = load_data(config, chatml)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [78, 10, 12]


def test_rows_stand_in_the_order_of_their_conversations(config, chatml):
    data = load_data(config, chatml)
    for name, rows in (("validation", data.validation), ("test", data.test)):
        for row, conversation in zip(rows, data.conversations[name], strict=True):
            assert f"{conversation.answer}<|im_end|>".startswith(learned_texts(row, chatml)[0])
            assert conversation.prompt[0].content in chatml.decode(row["input_ids"])


def test_loading_is_repeatable(config, chatml):
    assert load_data(config, chatml) == load_data(config, chatml)


def test_the_report_accounts_for_rows_that_are_cut(config, chatml):
    report = load_data(config, chatml).report
    assert sum(part.rows for part in report.parts.values()) == report.rows == 100
    assert sum(part.cut for part in report.parts.values()) == 10
    assert "rows cut at 64 tokens" in report.describe()


def test_the_report_accounts_for_rows_that_are_dropped(config, chatml):
    report = load_data(replace(config, overlong="drop"), chatml).report
    assert report.left_out == {"too long for data.max_length": 10}
    assert (report.parts["train"].rows, report.parts["test"].rows) == (68, 12)
    assert "left out: 10 rows too long for data.max_length" in report.describe()


@pytest.fixture
def short_text(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("\n\n".join(f"Chapter {number}. It was a day like day {number}." for number in range(60)))
    return DataConfig(str(path), max_length=32)


def test_a_text_too_short_for_three_stretches_is_split_by_its_pieces(short_text, chatml):
    data = load_data(short_text, chatml)
    assert len(data.test) == len(data.validation) == 8
    assert len(data.train) > 8
    assert data.report.groups == data.report.rows


def test_a_text_of_which_nothing_is_held_out_is_one_group(short_text, chatml):
    whole = replace(short_text, test_rows=0, validation_rows=0)
    assert load_data(whole, chatml).report.groups == 1


def test_a_value_that_a_data_frame_writes_for_a_missing_one_is_none(tmp_path, chatml):
    rows = [{"instruction": f"Do {n}", "input": "it" if n % 2 else None, "output": "y"} for n in range(30)]
    path = tmp_path / "rows.json"
    config = DataConfig(str(path), max_length=64)
    path.write_text(json.dumps(rows))
    with_nulls = load_data(config, chatml)
    blank = dict.fromkeys(("system", "group", "history", "tools", "prompt", "messages", "rejected"), float("nan"))
    path.write_text(json.dumps([{**blank, **row, "input": row["input"] or float("nan")} for row in rows]))
    assert load_data(config, chatml).report.fingerprint == with_nulls.report.fingerprint


def test_a_text_that_is_missing_is_an_error(tmp_path, chatml):
    source = write_rows(tmp_path / "rows.jsonl", [{"text": float("nan")}])
    with pytest.raises(QweftError, match=r"row 1: nothing stands in text; --data.skip_bad_rows true"):
        load_data(DataConfig(source), chatml)
