import json

import pyarrow
import pytest
from pyarrow import parquet

from qweft.data.read import read_rows
from qweft.errors import QweftError

ROWS = [{"question": "2+2?", "answer": "4"}, {"question": "Größe, in cm?", "answer": "12"}]


def write(folder, ending):
    path = folder / f"data{ending}"
    if ending == ".jsonl":
        path.write_text("\ufeff" + "\n\n".join(map(json.dumps, ROWS)) + "\n", encoding="utf-8")
    elif ending == ".json":
        path.write_text(json.dumps({"data": ROWS}), encoding="utf-8")
    elif ending == ".csv":
        lines = ["question,answer", *(f'"{row["question"]}",{row["answer"]}' for row in ROWS)]
        path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    else:
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_ending_gives_the_same_rows(tmp_path, ending):
    path = write(tmp_path, ending)
    assert list(read_rows(str(path))) == [(f"data{ending}, row {n}", row) for n, row in enumerate(ROWS, 1)]


def test_a_json_list(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    assert [row for _, row in read_rows(str(tmp_path / "a.json"))] == ROWS


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    write(tmp_path, ".jsonl"), write(tmp_path, ".csv"), (tmp_path / "notes.md").write_text("no data")
    assert [where for where, _ in read_rows(str(tmp_path))] == [
        f"data{ending}, row {n}" for ending in (".csv", ".jsonl") for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', "a.jsonl, line 3: not JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl, row 1: an object with named columns was expected, not list"),
        ("a.jsonl", b"\n", "the file holds no rows"),
        ("a.json", b"", "the file holds no rows"),
        ("a.json", b"[{]", "a.json, line 1: not JSON"),
        ("a.json", b'{"rows": []}', "a list of rows was expected"),
        ("a.csv", b"question,answer\n", "the file holds no rows"),
        ("a.csv", b"question\n\xff\xfe\n", "not UTF-8"),
        ("a.parquet", b"PAR1", "not readable as Parquet"),
        ("a.xlsx", b"x", ".xlsx is not understood; convert it to one of .jsonl, .json, .csv, .parquet"),
        ("data", b"x", "no ending is not understood"),
    ],
)
def test_a_bad_file_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(QweftError, match=r"a\.|data") as fault:
        list(read_rows(str(tmp_path / name)))
    assert words in str(fault.value)


@pytest.mark.parametrize("source", ["no/such/dir/x", "missing.jsonl", "./missing", "/missing"])
def test_a_missing_file(source):
    with pytest.raises(QweftError, match=r"no such file or folder; check the path"):
        list(read_rows(source))


def test_a_folder_without_data(tmp_path):
    with pytest.raises(QweftError, match=r"the folder holds no file ending in \.jsonl"):
        list(read_rows(str(tmp_path)))


@pytest.mark.parametrize(
    ("source", "asked"),
    [("owner/name", ("owner/name", None)), ("o/n:main", ("o/n", "main")), ("squad", ("squad", None))],
)
def test_a_hub_id_is_read_through_datasets(monkeypatch, source, asked):
    calls = []
    monkeypatch.setattr("datasets.load_dataset", lambda *names, split: calls.append((names, split)) or ROWS)
    assert [row for _, row in read_rows(source)] == ROWS
    assert calls == [(asked, "train")]


def test_an_unreachable_hub_is_said(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("Couldn't reach it\nlong trace")

    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(QweftError, match=r"data owner/name: neither a file .*Couldn't reach it\); check the name"):
        list(read_rows("owner/name"))


def test_an_unknown_embedded_name():
    with pytest.raises(QweftError, match=r"embedded:gsm: unknown; there are .*did you mean embedded:gsm_symbolic"):
        list(read_rows("embedded:gsm"))
