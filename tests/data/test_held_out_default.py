"""How many rows are held out where no number is given, and rows that cannot be read."""

import pytest

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from tests.data.test_held_out_sources import write


def rows_file(path, count, bad=()):
    """A jsonl file whose rows at the numbers `bad` (from 1) have an empty answer."""
    rows = [{"question": f"Say {n}", "answer": "" if n in bad else f"It is {n}."} for n in range(1, count + 1)]
    return write(path, rows)


@pytest.mark.parametrize(("count", "held_out"), [(17, 8), (40, 8), (99, 9), (250, 25), (639, 63), (640, 64), (900, 64)])
def test_a_tenth_of_the_rows_is_held_out(tmp_path, chatml, count, held_out):
    data = load_data(DataConfig(rows_file(tmp_path / "a.jsonl", count)), chatml)
    assert (len(data.validation), len(data.test), len(data.train)) == (held_out, held_out, count - 2 * held_out)
    assert (data.config.validation_rows, data.config.test_rows) == (held_out, held_out)
    assert f"test: {held_out} rows in" in data.report.describe()


def test_rows_that_cannot_be_read_are_left_out_counted_and_listed(tmp_path, chatml):
    bad = set(range(3, 30, 2))
    source = rows_file(tmp_path / "a.jsonl", 300, bad)
    with pytest.raises(QweftError, match=r"a.jsonl, row 3: nothing stands in answer; --data.skip_bad_rows true"):
        load_data(DataConfig(source), chatml)
    data = load_data(DataConfig(source, skip_bad_rows=True), chatml)
    assert data.report.rows == 300 - len(bad)
    assert data.report.skipped == [(f"a.jsonl, row {n}", "nothing stands in answer") for n in sorted(bad)]
    said = data.report.describe()
    assert "left out: 14 rows that cannot be read" in said
    assert said.count("nothing stands in answer") == 10


def test_the_others_are_split_as_if_all_could_be_read(tmp_path, chatml):
    whole = load_data(DataConfig(rows_file(tmp_path / "a.jsonl", 300)), chatml)
    trained = {conversation.where for conversation in whole.conversations["train"]}
    bad = {int(where.split()[-1]) for where in sorted(trained)[:60]}
    some = load_data(DataConfig(rows_file(tmp_path / "a.jsonl", 300, bad), skip_bad_rows=True), chatml)
    assert (some.test, some.validation) == (whole.test, whole.validation) and len(some.test) == 30
    assert {conversation.where for conversation in some.conversations["train"]} < trained
