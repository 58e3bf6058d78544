"""Encodings and delimiters that spreadsheets and editors save, and what is said of them."""

import pytest

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig
from qweft.data.sources import read_sources
from tests.data.reading import read_rows

GERMAN = [
    {"Frage": "Größe, in cm?", "Antwort": "zwölf; ungefähr"},
    {"Frage": "Wie\nviel?", "Antwort": "20 €"},
] * 15
DELIMITERS = {",": None, ";": "semicolons", "\t": "tabs", "|": "bars"}
ENCODINGS = {"utf-8": None, "utf-8-sig": None, "utf-16": "UTF-16", "utf-16-le": "UTF-16", "cp1252": "CP1252"}


@pytest.fixture(params=DELIMITERS)
def delimiter(request):
    return request.param


@pytest.fixture(params=ENCODINGS)
def encoding(request):
    return request.param


@pytest.fixture
def spreadsheet(tmp_path, delimiter, encoding):
    """A CSV file of `GERMAN`, with quotes around each field."""
    lines = [delimiter.join(GERMAN[0])]
    for row in GERMAN:
        lines.append(delimiter.join(f'"{value}"' for value in row.values()))
    text = "\r\n".join(lines) + "\r\n"
    if encoding == "utf-16-le":  # Python writes no byte-order mark for it
        text = f"\ufeff{text}"
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_csv_files_of_spreadsheets_are_read(spreadsheet):
    assert read_rows(spreadsheet) == GERMAN


def test_the_encoding_and_the_delimiter_that_were_taken_are_told(spreadsheet, delimiter, encoding):
    notes = []
    read_rows(spreadsheet, notes=notes)
    expected = [word for word in (ENCODINGS[encoding], DELIMITERS[delimiter]) if word is not None]
    assert len(notes) == len(expected)
    for note, word in zip(notes, expected, strict=True):
        assert word in note


def test_such_notes_reach_the_source(spreadsheet, chatml):
    notes = []
    read_rows(spreadsheet, notes=notes)
    config = DataConfig(str(spreadsheet), columns={"question": "Frage", "answer": "Antwort"}, skip_bad_rows=True)
    (source,) = read_sources(config, chatml).values()
    assert source.notes == notes
    assert len(source.conversations) == len(GERMAN)


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
    assert [row["text"] for row in read_rows(tmp_path / "a.txt", notes=notes)] == [text]
    assert notes == [f"a.txt is read as {encoding.upper()}"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1251", "Привет, как дела?"), ("koi8-r", "Привет, как дела?"), ("cp1253", "Καλημέρα, τι κάνεις")],
)
def test_another_encoding_is_refused_rather_than_read_as_nonsense(tmp_path, encoding, text):
    (tmp_path / "a.txt").write_text(f"{text}\n" * 5, encoding=encoding)
    with pytest.raises(QweftError, match=r"a.txt: cannot be read \(its encoding is not known\); save a text as UTF-8"):
        read_rows(tmp_path / "a.txt")
