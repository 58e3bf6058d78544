"""How many rows are held out where no number is given, and rows that cannot be read."""

import pytest

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from tests.data.examples import write_rows


@pytest.fixture
def rows_file(tmp_path):
    """Writes a jsonl file whose rows at the numbers `bad` (from 1) have an empty answer."""

    def write(count, bad=()):
        rows = []
        for number in range(1, count + 1):
            answer = "" if number in bad else f"It is {number}."
            rows.append({"question": f"Say {number}", "answer": answer})
        return write_rows(tmp_path / "a.jsonl", rows)

    return write


@pytest.mark.parametrize(("count", "held_out"), [(17, 8), (40, 8), (99, 9), (250, 25), (639, 63), (640, 64), (900, 64)])
def test_a_tenth_of_the_rows_is_held_out(rows_file, chatml, count, held_out):
    data = load_data(DataConfig(rows_file(count)), chatml)
    assert (len(data.validation), len(data.test), len(data.train)) == (held_out, held_out, count - 2 * held_out)
    assert (data.config.validation_rows, data.config.test_rows) == (held_out, held_out)
    assert f"test: {held_out} rows in" in data.report.describe()


BAD = set(range(3, 30, 2))


def test_a_row_that_cannot_be_read_is_an_error(rows_file, chatml):
    with pytest.raises(QweftError, match=r"a.jsonl, row 3: nothing stands in answer; --data.skip_bad_rows true"):
        load_data(DataConfig(rows_file(300, BAD)), chatml)


def test_rows_that_cannot_be_read_are_left_out_counted_and_listed(rows_file, chatml):
    report = load_data(DataConfig(rows_file(300, BAD), skip_bad_rows=True), chatml).report
    assert report.rows == 300 - len(BAD)
    assert report.skipped == [(f"a.jsonl, row {number}", "nothing stands in answer") for number in sorted(BAD)]
    assert "left out: 14 rows that cannot be read" in report.describe()
    assert report.describe().count("nothing stands in answer") == 10  # the record has all


def test_the_readable_rows_are_split_as_if_all_could_be_read(rows_file, chatml):
    whole = load_data(DataConfig(rows_file(300)), chatml)
    trained = {conversation.where for conversation in whole.conversations["train"]}
    bad = {int(where.split()[-1]) for where in sorted(trained)[:60]}
    readable = load_data(DataConfig(rows_file(300, bad), skip_bad_rows=True), chatml)
    assert (readable.test, readable.validation) == (whole.test, whole.validation)
    assert len(readable.test) == 30
    assert {conversation.where for conversation in readable.conversations["train"]} < trained
