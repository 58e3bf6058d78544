import json

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.read.rows import located_rows
from qweft.data.sources import read_sources

ROWS = [{"question": "2+2?", "answer": "4"}, {"question": "Größe, in cm?", "answer": "12"}]


def read_rows(source, max_rows=None, notes=None):
    for where, row in located_rows(source, max_rows, [] if notes is None else notes):
        if isinstance(row, QweftError):
            raise row
        yield where, row


GERMAN = [{"Frage": "Größe, in cm?", "Antwort": "zwölf; ungefähr"}, {"Frage": "Wie\nviel?", "Antwort": "20 €"}] * 15


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_csv_files_of_spreadsheets_are_read_and_what_was_taken_is_told(tmp_path, chatml, mark, encoding):
    lines = [mark.join(GERMAN[0]), *(mark.join(f'"{value}"' for value in row.values()) for row in GERMAN)]
    mark_of_order = "\ufeff" if encoding == "utf-16-le" else ""
    (tmp_path / "a.csv").write_bytes((mark_of_order + "\r\n".join(lines) + "\r\n").encode(encoding))
    notes = []
    assert [row for _, row in read_rows(str(tmp_path / "a.csv"), notes=notes)] == GERMAN
    expected = [*(["UTF-16"] * ("16" in encoding)), *(["CP1252"] * (encoding == "cp1252"))]
    expected += [{";": "semicolons", "\t": "tabs", "|": "bars"}[mark]] if mark != "," else []
    assert len(notes) == len(expected) and all(map(str.__contains__, notes, expected))
    config = DataConfig(str(tmp_path / "a.csv"), columns={"question": "Frage", "answer": "Antwort"}, skip_bad_rows=True)
    (source,) = read_sources(config, chatml).values()
    assert source.notes == notes and len(source.conversations) == 30


@pytest.mark.parametrize(
    ("encoding", "question"),
    [
        ("gb18030", "你好，今天天气怎么样？"),
        ("big5", "今天天氣怎麼樣？我們去公園散步好嗎？"),
        ("cp932", "今日はいい天気ですね。散歩に行きませんか？"),
        ("cp949", "안녕하세요. 오늘 날씨는 어떻습니까?"),
        ("cp1252", "¿Qué día es mañana? Très bientôt, à Århus"),
    ],
)
def test_legacy_encodings_are_recognised(tmp_path, encoding, question):
    text = f"{question}\n" * 5
    (tmp_path / "a.txt").write_text(text, encoding=encoding)
    notes = []
    assert [row["text"] for _, row in read_rows(str(tmp_path / "a.txt"), notes=notes)] == [text]
    assert notes == [f"a.txt is read as {encoding.upper()}"]


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "cp1253"])
def test_another_encoding_is_refused_rather_than_read_as_nonsense(tmp_path, encoding):
    text = "Привет, как дела?" if encoding != "cp1253" else "Καλημέρα, τι κάνεις"
    (tmp_path / "a.txt").write_text(f"{text}\n" * 5, encoding=encoding)
    with pytest.raises(QweftError, match=r"a.txt: cannot be read \(its encoding is not known\); save a text as UTF-8"):
        list(read_rows(str(tmp_path / "a.txt")))


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for name in ("b.jsonl", "a.json"):
        (tmp_path / name).write_text(json.dumps(ROWS[0] if name == "b.jsonl" else ROWS))
    (tmp_path / "notes.md").write_text("no data"), (tmp_path / "._data.jsonl").write_bytes(b"\0\x05\xff")
    notes = []
    found = [where for where, _ in read_rows(str(tmp_path), notes=notes)]
    assert found == ["a.json, row 1", "a.json, row 2", "b.jsonl, row 1"]
    assert notes == [f"{tmp_path} is read as a.json, b.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', "a.jsonl, line 3: not JSON"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', "not JSON (Extra data: line 2 column 1"),
        ("a.jsonl", b"[1]\n", "a.jsonl, row 1: an object with named columns was expected, not list"),
        ("a.json", b'{"rows": []}', "a list of rows was expected"),
        ("a.csv", b"question\n\x81\n", "cannot be read"),
        ("a.csv", b"question,answer\nq,12, about\n", "line 2: more fields than the 2 columns of the first line"),
        ("a.csv", b'question,answer\nq,"12\nr,13\n', "not readable as CSV"),
        (
            "a.csv",
            b"question,answer,answer\nq,a,b\n",
            "a column stands twice in the first line",
        ),
        ("a.parquet", b"PAR1", "not readable as Parquet"),
        ("a.xlsx", b"x", ".xlsx is not understood"),
    ],
)
def test_a_bad_file_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(QweftError) as fault:
        list(read_rows(str(tmp_path / name)))
    assert name in str(fault.value) and words in str(fault.value)


def test_a_parquet_table_gives_the_rows_that_it_was_made_of(tmp_path):
    """It has every key of any row's, null elsewhere."""
    calls = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "add", "arguments": {"a": 1, "b": [None, 2]}}]
    turns = [[{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}] for call in calls]
    rows = [{"messages": each, "system": None, "meta": {"system": None}} for each in turns]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert [row for _, row in read_rows(str(tmp_path / "a.parquet"))] == rows


def test_what_datasets_saved_is_read(tmp_path):
    rows = [{"prompt": "q", "response": "a"}]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows)).save_to_disk(tmp_path / "parts")
    for folder in ("one", "parts/train"):
        assert [row for _, row in read_rows(str(tmp_path / folder))] == rows
    with pytest.raises(QweftError, match=r"such as .*parts/train"):
        list(read_rows(str(tmp_path / "parts")))


@pytest.mark.parametrize("source", ["no/such/dir/x", "missing.jsonl", "./missing", "/missing", "~nobody-here/rows"])
def test_a_missing_file(source):
    with pytest.raises(QweftError, match=r"no such file or folder"):
        list(read_rows(source))


@pytest.mark.parametrize(
    ("source", "asked", "part"),
    [
        ("owner/name", ("owner/name", None), "train"),
        ("o/n:main", ("o/n", "main"), "train"),
        ("squad", ("squad", None), "train"),
        ("gsm8k@test", ("openai/gsm8k", "main"), "test"),
    ],
)
def test_a_hub_id_is_read_through_datasets(monkeypatch, source, asked, part):
    calls = []
    monkeypatch.setattr(
        "datasets.load_dataset", lambda *names, split, streaming: calls.append((names, split, streaming)) or ROWS
    )
    assert [row for _, row in read_rows(source)] == ROWS
    assert calls == [(asked, part, False)]
    assert [row for _, row in read_rows(source, max_rows=1)] == ROWS[:1]
    assert calls[1] == (asked, part, True)  # no more is fetched than what is read


def test_plain_text_is_read_in_stretches_that_end_with_a_paragraph(tmp_path):
    paragraphs = [f"Paragraph {number}. " + "word " * 150 for number in range(100)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    rows = [row for _, row in read_rows(str(tmp_path / "book.txt"))]
    assert "".join(row["text"] for row in rows) == "\n\n".join(paragraphs)
    assert all(4000 <= len(row["text"]) <= 16000 for row in rows) and len(rows) > 5
    assert all(row["text"].startswith("Paragraph") for row in rows)
    assert len({row["group"] for row in rows}) == len(rows)
