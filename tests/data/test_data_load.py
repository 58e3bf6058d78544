import json
from dataclasses import replace

import pytest

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from tests.data.tiny_tokenizer import learned_text


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "sums.jsonl"
    rows = [
        {"question": f"{a}+{b}?", "answer": f"{a + b}" + " !" * (30 * (a == 0))} for a in range(10) for b in range(10)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return DataConfig(source=str(path), validation_rows=10, test_rows=12, max_length=64)


def test_parts_are_exact_aligned_and_repeatable(config, chatml):
    data = load_data(config, chatml)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [78, 10, 12]
    for rows, talks in ((data.validation, data.conversations["validation"]), (data.test, data.conversations["test"])):
        for row, talk in zip(rows, talks, strict=True):
            assert f"{talk.answer}<|im_end|>".startswith(learned_text(row, chatml)[0])
            assert talk.prompt[0].content in chatml.decode(row["input_ids"])
    assert load_data(config, chatml) == data


def test_the_report_accounts_for_every_row(config, chatml):
    report = load_data(config, chatml).report
    assert sum(part.rows for part in report.parts.values()) == report.rows == 100
    assert sum(part.cut for part in report.parts.values()) == 10
    assert "rows cut at 64 tokens" in report.describe()
    report = load_data(replace(config, overlong="drop"), chatml).report
    assert (report.parts["train"].rows, report.left_out) == (68, {"too long for data.max_length": 10})
    assert report.parts["test"].rows == 12
    assert "left out: 10 rows too long for data.max_length" in report.describe()


def test_a_text_too_short_for_three_stretches_is_split_by_its_pieces(tmp_path, chatml):
    path = tmp_path / "short.txt"
    path.write_text("\n\n".join(f"Chapter {n}. It was a day like day {n}." for n in range(60)))
    data = load_data(DataConfig(source=str(path), max_length=32), chatml)
    assert len(data.test) == len(data.validation) == 8 and len(data.train) > 8
    assert data.report.groups == data.report.rows
    whole = DataConfig(source=str(path), max_length=32, test_rows=0, validation_rows=0)
    assert load_data(whole, chatml).report.groups == 1  # nothing is held out of it: one text is one group


def test_a_value_that_a_data_frame_writes_for_a_missing_one_is_none(tmp_path, chatml):
    rows = [{"instruction": f"Do {n}", "input": "it" if n % 2 else None, "output": "y"} for n in range(30)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    config = DataConfig(source=str(path), max_length=64)
    nulls = load_data(config, chatml)
    others = dict.fromkeys(("system", "group", "history", "tools", "prompt", "messages", "rejected"), float("nan"))
    path.write_text(json.dumps([{**others, **row, "input": row["input"] or float("nan")} for row in rows]))
    assert load_data(config, chatml).report.fingerprint == nulls.report.fingerprint
    path.write_text(json.dumps([{"text": float("nan")}]))
    with pytest.raises(QweftError, match=r"row 1: nothing stands in text; --data.skip_bad_rows true"):
        load_data(config, chatml)
