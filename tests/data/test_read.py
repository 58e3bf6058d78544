"""Rows of files, folders and the hub."""

import json

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from qweft.core.errors import QweftError
from tests.data.reading import read_located, read_rows

ROWS = [{"question": "2+2?", "answer": "4"}, {"question": "Größe, in cm?", "answer": "12"}]


@pytest.fixture
def folder(tmp_path):
    """Two files of rows among others."""
    (tmp_path / "b.jsonl").write_text(json.dumps(ROWS[0]))
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    (tmp_path / "notes.md").write_text("no data")
    (tmp_path / "._data.jsonl").write_bytes(b"\0\x05\xff")
    return tmp_path


def test_a_folder_is_read_in_the_order_of_its_names(folder):
    places = [where for where, _ in read_located(folder)]
    assert places == ["a.json, row 1", "a.json, row 2", "b.jsonl, row 1"]


def test_the_files_of_a_folder_that_are_read_are_named(folder):
    notes = []
    read_rows(folder, notes=notes)
    assert notes == [f"{folder} is read as a.json, b.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', "a.jsonl, line 3: not JSON"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', "not JSON (Extra data: line 2 column 1"),
        ("a.jsonl", b"[1]\n", "a.jsonl, row 1: an object with named columns was expected, not list"),
        ("a.json", b'{"rows": []}', "a list of rows was expected"),
        ("a.csv", b"question\n\x81\n", "cannot be read"),
        ("a.csv", b"question,answer\nq,12, about\n", "line 2: more fields than the 2 columns of the first line"),
        ("a.csv", b'question,answer\nq,"12\nr,13\n', "not readable as CSV"),
        ("a.csv", b"question,answer,answer\nq,a,b\n", "a column stands twice in the first line"),
        ("a.parquet", b"PAR1", "not readable as Parquet"),
        ("a.xlsx", b"x", ".xlsx is not understood"),
    ],
)
def test_a_bad_file_is_named(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(QweftError) as fault:
        read_rows(tmp_path / name)
    assert name in str(fault.value)
    assert problem in str(fault.value)


def test_a_parquet_table_gives_the_rows_that_it_was_made_of(tmp_path):
    """It has every key of any row's, null elsewhere."""
    rows = []
    for arguments in ({"city": "Oslo"}, {"a": 1, "b": [None, 2]}):
        call = {"name": "look", "arguments": arguments}
        turns = [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}]
        rows.append({"messages": turns, "system": None, "meta": {"system": None}})
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_rows(tmp_path / "a.parquet") == rows


SAVED = [{"prompt": "q", "response": "a"}]


def test_a_saved_data_set_is_read(tmp_path):
    datasets.Dataset.from_list(SAVED).save_to_disk(tmp_path / "one")
    assert read_rows(tmp_path / "one") == SAVED


def test_of_several_saved_data_sets_one_must_be_named(tmp_path):
    datasets.DatasetDict(train=datasets.Dataset.from_list(SAVED)).save_to_disk(tmp_path / "parts")
    assert read_rows(tmp_path / "parts" / "train") == SAVED
    with pytest.raises(QweftError, match=r"such as .*parts/train"):
        read_rows(tmp_path / "parts")


@pytest.mark.parametrize("source", ["no/such/dir/x", "missing.jsonl", "./missing", "/missing", "~nobody-here/rows"])
def test_a_missing_file(source):
    with pytest.raises(QweftError, match=r"no such file or folder"):
        read_rows(source)


@pytest.fixture
def hub_calls(monkeypatch):
    """A hub that has `ROWS` under every name; returns what it was called with."""
    calls = []

    def load_dataset(*names, split, streaming):
        calls.append((names, split, streaming))
        return ROWS

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    return calls


@pytest.mark.parametrize(
    ("source", "names", "split"),
    [
        ("owner/name", ("owner/name", None), "train"),
        ("o/n:main", ("o/n", "main"), "train"),
        ("squad", ("squad", None), "train"),
        ("gsm8k@test", ("openai/gsm8k", "main"), "test"),
    ],
)
def test_a_hub_id_is_read_through_datasets(hub_calls, source, names, split):
    assert read_rows(source) == ROWS
    assert hub_calls == [(names, split, False)]


def test_of_the_hub_no_more_is_fetched_than_what_is_read(hub_calls):
    assert read_rows("owner/name", max_rows=1) == ROWS[:1]
    assert hub_calls == [(("owner/name", None), "train", True)]


@pytest.fixture
def book(tmp_path):
    """Rows of a long text, and the text."""
    paragraphs = [f"Paragraph {number}. " + "word " * 150 for number in range(100)]
    text = "\n\n".join(paragraphs)
    (tmp_path / "book.txt").write_text(text, encoding="utf-8")
    return read_rows(tmp_path / "book.txt"), text


def test_the_pieces_of_a_text_make_it_up(book):
    rows, text = book
    assert len(rows) > 5
    assert "".join(row["text"] for row in rows) == text


def test_the_pieces_of_a_text_are_of_some_length_and_end_with_a_paragraph(book):
    rows, _ = book
    for row in rows:
        assert 4000 <= len(row["text"]) <= 16000
        assert row["text"].startswith("Paragraph")


def test_each_piece_of_a_text_is_a_group(book):
    rows, _ = book
    assert len({row["group"] for row in rows}) == len(rows)
