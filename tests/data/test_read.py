import json
import os
import socket
import time

import datasets
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from qweft.data import hub, tables
from qweft.data.formats import to_conversation
from qweft.data.read import beside_training, read_rows
from qweft.data.turns import LONGEST_ROW
from qweft.errors import QweftError
from qweft.models import resolve

ROWS = [{"question": "2+2?", "answer": "4"}, {"question": "Größe, in cm?", "answer": "12"}]


def write(folder, ending, rows=ROWS):
    path = folder / f"data{ending}"
    if ending == ".jsonl":
        path.write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    elif ending == ".json":
        path.write_text(json.dumps({"data": rows}), encoding="utf-8")
    elif ending == ".csv":
        lines = ["question,answer", *(f'"{row["question"]}",{row["answer"]}' for row in rows)]
        path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_ending_gives_the_same_rows(tmp_path, ending):
    path = write(tmp_path, ending)
    assert list(read_rows(str(path))) == [(f"data{ending}, row {n}", row) for n, row in enumerate(ROWS, 1)]


def test_fields_of_a_csv_file_may_begin_with_spaces_and_quotes(tmp_path):
    (tmp_path / "a.csv").write_text(
        'question,answer\n q, a\n"q"," ""Yes"", she\nsaid"\n\nq, \n"\t""q""",\ta\tb\n"\n""q""",a\n'
    )
    rows = [(" q", " a"), ("q", ' "Yes", she\nsaid'), ("q", " "), ('\t"q"', "\ta\tb"), ('\n"q"', "a")]
    assert [tuple(row.values()) for _, row in read_rows(str(tmp_path / "a.csv"))] == rows


def test_empty_fields_at_the_end_of_a_csv_line_are_no_fields(tmp_path):
    (tmp_path / "a.csv").write_text("question,answer\nq,a,,\n")
    assert [row for _, row in read_rows(str(tmp_path / "a.csv"))] == [{"question": "q", "answer": "a"}]


def test_a_json_list(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    assert [row for _, row in read_rows(str(tmp_path / "a.json"))] == ROWS


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    write(tmp_path, ".jsonl"), write(tmp_path, ".csv"), (tmp_path / "notes.md").write_text("no data")
    (tmp_path / "._data.jsonl").write_bytes(b"\0\x05\xff")
    assert [where for where, _ in read_rows(str(tmp_path))] == [
        f"data{ending}, row {n}" for ending in (".csv", ".jsonl") for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["train.jsonl", "test.jsonl"], "rows of test.jsonl are read like those of train.jsonl; give {}/train.jsonl"),
        (["a_train.csv", "a_Val.csv", "dev-en.csv"], "rows of a_Val.csv, dev-en.csv are read like those of a_train.c"),
        (["train-0.csv", "train-1.csv", "test-0.csv"], "like those of train-0.csv; move them to another folder to"),
        (["training.csv", "testing.csv"], "rows of testing.csv are read like those of training.csv; give {}/training"),
        (
            ["mine.train.csv", "mine.test.csv", "eval2.csv"],
            "rows of eval2.csv, mine.test.csv are read like those of mi",
        ),
        (
            ["train.csv", "held-out.csv", "x_held_out.csv"],
            "rows of held-out.csv, x_held_out.csv are read like those of",
        ),
        (["staff-training.csv", "software-testing.csv"], ""),
        (["train.csv", "te-st.csv"], ""),
        (["train.csv", "latest.csv", "contest.csv", "test.md", "._test.csv"], ""),
        (["rows.csv", "test.csv"], ""),
    ],
)
def test_held_out_files_beside_a_training_file_are_told(tmp_path, names, told):
    for name in names:
        (tmp_path / name).write_text("")
    found = beside_training(str(tmp_path))
    assert told.format(tmp_path) in found
    assert bool(found) == bool(told)
    assert beside_training(str(tmp_path / names[0])) == ""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', "a.jsonl, line 3: not JSON"),
        ("a.jsonl", b'{"a": 1}\r\n{"a"\r\n', "line 2: not JSON (Expecting ':' delimiter at column 5)"),
        (
            "a.json",
            b'{"a": 1}\n{"a": 2}\n',
            "line 2: not JSON (Extra data at column 1); a file with one object on each",
        ),
        ("a.jsonl", b"[1]\n", "a.jsonl, row 1: an object with named columns was expected, not list"),
        ("a.jsonl", b"\n", "the file holds no rows"),
        ("a.json", b"", "the file holds no rows"),
        ("a.json", b"[{]", "a.json, line 1: not JSON"),
        ("a.json", b'{"rows": []}', "a list of rows was expected"),
        ("a.csv", b"question,answer\n", "the file holds no rows"),
        ("a.csv", b"question\n\xff\xfe\n", "not UTF-8"),
        ("a.csv", b"question,answer\nq,12, about\n", "line 2: more fields than the 2 columns of the first line"),
        ("a.csv", b'question,answer\nq,"12\nr,13\n', "unexpected end of data, after line 1); a text with commas"),
        ("a.csv", b'question,answer\nq,"a "b" c"\n', "after line 1); a text with commas, quotes or line ends"),
        ("a.csv", b'question,answer\n"q", "a"\n', "a space or tab stands before the quote in ' \"a\"', and both"),
        ("a.csv", b'question,answer\n"q", "a, b"\n', "a space or tab stands before the quote"),
        ("a.csv", b'question,answer\nq,a\n"q", "a\nb"\n', "a space or tab stands before the quote"),
        ("a.csv", b'question,answer,note\nq, "he said ""x"" ok, b"\n', "a space or tab stands before the quote"),
        ("a.csv", b'"question", "answer"\nq,a\n', "a space or tab stands before the quote"),
        ("a.csv", b'question,answer\n"q",\t"a"\n', "a space or tab stands before the quote"),
        ("a.csv", 'question,answer\nq,\u00a0"a"\n'.encode(), "a space or tab stands before the quote"),
        ("a.csv", b"question,answer,answer\nq,a,b\n", "the column 'answer' stands twice in the first line"),
        ("a.jsonl", b'{"a": ' + b"1" * 5000 + b"}\n", "line 1: not JSON (a number of too many digits)"),
        ("a.jsonl", b"[" * 100_000 + b"\n", "line 1: not JSON (nested too deeply)"),
        ("a.json", b"[" + b"1" * 5000 + b"]", "a.json: not JSON (a number of too many digits)"),
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


def test_numbers_of_a_parquet_table_have_the_digits_that_were_written(tmp_path):
    columns = {
        "price": pyarrow.array([0.1, None], pyarrow.float32()),
        "half": pyarrow.array(np.array([0.3, 1e-4], np.float16)),
        "whole": pyarrow.array([0.1, 1 / 3]),
        "parts": pyarrow.array(
            [[{"x": 2.7}], [{"x": None}]], pyarrow.list_(pyarrow.struct([("x", pyarrow.float32())]))
        ),
        "map": pyarrow.array([[("k", 0.7)], None], pyarrow.map_(pyarrow.string(), pyarrow.float32())),
        "table": pyarrow.FixedShapeTensorArray.from_numpy_ndarray(np.array([[[0.7, 0.9]], [[1.1, 2]]], np.float32)),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    rows = [row for _, row in read_rows(str(tmp_path / "a.parquet"))]
    assert [row.pop("map") for row in rows] == [[("k", 0.7)], None]
    assert [row.pop("table") for row in rows] == [[0.7, 0.9], [1.1, 2]]
    assert rows[0] == {"price": 0.1, "half": 0.3, "whole": 0.1, "parts": [{"x": 2.7}]}
    assert rows[1] == {"price": None, "half": 1e-4, "whole": 1 / 3, "parts": [{}]}


def test_a_quotation_after_a_space_is_text(tmp_path):
    for said in (' "Yes" he said', ' "Yes" and "No"'):
        (tmp_path / "a.csv").write_text(f"question,answer\nq,{said}\n")
        assert [row for _, row in read_rows(str(tmp_path / "a.csv"))] == [{"question": "q", "answer": said}]


def test_a_parquet_table_of_one_long_value_for_many_rows(tmp_path, monkeypatch):
    values = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * 16, pyarrow.int32()), pyarrow.array(["a" * 5_000_000])
    )
    path, decoded = tmp_path / "a.parquet", []
    parquet.write_table(
        pyarrow.table({"text": values}), path, compression="zstd", use_dictionary=True, dictionary_pagesize_limit=2**30
    )
    assert path.stat().st_size < 5_000
    monkeypatch.setattr(tables, "of_table", lambda schema: lambda row: decoded.append(row) or row)
    batches = parquet.ParquetFile.iter_batches
    monkeypatch.setattr(
        parquet.ParquetFile,
        "iter_batches",
        lambda file, batch_size: decoded.append(batch_size) or batches(file, batch_size),
    )
    next(tables.read_parquet(path))
    assert decoded[0] == 1
    monkeypatch.setattr(tables, "LARGE", 1_000_000)  # and a thousand times the file's size
    with pytest.raises(QweftError, match=r"bytes hold a group of rows of 5,0.*; write it anew with smaller groups"):
        next(tables.read_parquet(path))


def test_a_parquet_table_with_a_column_twice_is_refused(tmp_path):
    columns = [pyarrow.array([word]) for word in ("q", "right", "wrong")]
    parquet.write_table(pyarrow.Table.from_arrays(columns, ["question", "answer", "answer"]), tmp_path / "a.parquet")
    with pytest.raises(
        QweftError, match=r"^data [^(]*a\.parquet: the column 'answer' stands twice in the table; rename one"
    ):
        list(read_rows(str(tmp_path / "a.parquet")))


def test_what_datasets_saved_is_refused_by_its_name(tmp_path):
    rows = datasets.Dataset.from_list([{"prompt": "q", "response": "a"}])
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=rows).save_to_disk(tmp_path / "parts")
    for folder in ("one", "parts", "parts/train"):
        with pytest.raises(QweftError, match=rf"{folder}: datasets' save_to_disk wrote this folder; write its rows"):
            list(read_rows(str(tmp_path / folder)))


@pytest.mark.parametrize(("value", "kind"), [
    (2**62, pyarrow.timestamp("us")), (2**30, pyarrow.date32()), (0, pyarrow.timestamp("us", "Nowhere/Zone")),
])  # fmt: skip
def test_a_parquet_table_with_a_time_that_python_has_not_is_refused(tmp_path, value, kind):
    parquet.write_table(pyarrow.table({"at": pyarrow.array([value], kind)}), tmp_path / "a.parquet")
    with pytest.raises(QweftError, match=r"a\.parquet: not readable as Parquet \("):
        list(read_rows(str(tmp_path / "a.parquet")))


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_row_too_long_to_be_tokenised_is_an_error_in_its_place(tmp_path, ending):
    path = write(tmp_path, ending, [*ROWS, {"question": "q", "answer": "a" * (LONGEST_ROW + 1)}])
    skipped = []
    assert [row for _, row in read_rows(str(path), skipped=skipped)] == ROWS
    assert skipped == [(f"data{ending}, row 3", "it holds more than 4,194,304 characters; cut it into several rows")]


def test_a_small_parquet_file_of_huge_rows_is_not_decoded_as_a_whole(tmp_path):
    texts = pyarrow.DictionaryArray.from_arrays([0] * 400, ["a" * 10_000_000])
    parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "a.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 2**20
    before = pyarrow.default_memory_pool().max_memory()
    with pytest.raises(QweftError, match="row 1: it holds more than 4,194,304 characters"):
        list(read_rows(str(tmp_path / "a.parquet")))
    assert pyarrow.default_memory_pool().max_memory() <= max(before, 2**30)


@pytest.mark.parametrize("source", ["no/such/dir/x", "missing.jsonl", "./missing", "/missing", "~nobody-here/rows"])
def test_a_missing_file(source):
    with pytest.raises(QweftError, match=r"no such file or folder; check the path"):
        list(read_rows(source))


def test_a_name_that_no_file_can_have():
    with pytest.raises(QweftError, match=r"'xxx.* cannot be looked for \(File name too long\)"):
        list(read_rows("x" * 5000))


def test_a_cloned_data_set_is_not_read_as_its_readme(tmp_path):
    write(tmp_path, ".jsonl").rename(tmp_path / "data.jsonl")
    (tmp_path / "data").mkdir()
    (tmp_path / "data.jsonl").rename(tmp_path / "data" / "train.jsonl")
    (tmp_path / "README.md").write_text("of the data set\n\n" * 50)
    with pytest.raises(QweftError, match=r"the rows are not in this folder but in .*data; give one of these"):
        list(read_rows(str(tmp_path)))
    (tmp_path / "chapter.md").write_text("once upon a time")
    assert list(read_rows(str(tmp_path)))  # a folder of texts


def test_a_folder_without_data(tmp_path):
    with pytest.raises(QweftError, match=r"the folder holds no file ending in \.jsonl"):
        list(read_rows(str(tmp_path)))


@pytest.mark.parametrize(
    ("source", "asked"),
    [("owner/name", ("owner/name", None)), ("o/n:main", ("o/n", "main")), ("squad", ("squad", None))],
)
def test_a_hub_id_is_read_through_datasets(monkeypatch, source, asked):
    calls = []
    monkeypatch.setattr(
        "datasets.load_dataset", lambda *names, split, streaming: calls.append((names, split, streaming)) or ROWS
    )
    assert [row for _, row in read_rows(source)] == ROWS
    assert calls == [(asked, "train", False)]
    assert [row for _, row in read_rows(source, max_rows=1)] == ROWS[:1]
    assert calls[1] == (asked, "train", True)  # no more is fetched than what is read


@pytest.mark.parametrize("name", ["csv", "text", "pandas", "json@test"])
def test_a_reader_of_datasets_is_no_data_set(tmp_path, monkeypatch, name):
    """It would read all such files of the current folder; the one named pandas runs code of them in older versions."""
    (tmp_path / "private.csv").write_text("text\nmine\n")
    (tmp_path / "private.txt").write_text("mine\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QweftError, match=rf"data {name}: a reader of the package datasets, and no data set; give a "):
        list(read_rows(name))


@pytest.mark.parametrize(
    ("offline", "status", "reason"),
    [
        (True, None, "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set"),
        (False, None, "the hub did not answer within 3 s"),
        (False, 404, "Couldn't reach it"),
    ],
)
def test_an_unreachable_hub_is_said(monkeypatch, offline, status, reason):
    def fail(*_, **__):
        raise ConnectionError("Couldn't reach it\nlong trace")

    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(resolve, "offline", lambda: False)
    monkeypatch.setattr(resolve, "_status", lambda path: status)
    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(QweftError, match=rf"data owner/name: neither a file .*\({reason}\); check the name"):
        list(read_rows("owner/name"))


def test_a_connection_that_breaks_between_rows_is_one_sentence(monkeypatch):
    def rows():
        yield dict(ROWS[0])
        raise ConnectionError("reset by peer\nlong trace")

    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: rows())
    monkeypatch.setattr(hub, "hub_answers", lambda path: True)
    found = read_rows("owner/name")
    next(found)
    with pytest.raises(QweftError, match=r"owner/name: row 2 could not be read \(reset by peer\); check"):
        next(found)


@pytest.mark.parametrize(("status", "is_offline"), [(None, True), (200, False), (404, False)])
def test_a_hub_that_does_not_answer_is_not_asked_again_and_again(monkeypatch, status, is_offline):
    """The package datasets tries five times, for 40 seconds; what is in its cache it finds at once."""
    import datasets
    from huggingface_hub import constants

    seen, asked = [], []
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(resolve, "offline", lambda: False)
    monkeypatch.setattr(resolve, "_status", lambda path: asked.append(path) or status)
    monkeypatch.setattr(
        "datasets.load_dataset",
        lambda *_, **__: seen.append((datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)) or [{"text": "a"}],
    )
    assert [row for _, row in read_rows("owner/name@test")] == [{"text": "a"}]
    assert seen == [(is_offline, is_offline)] and asked == ["datasets/owner/name/resolve/main/README.md"]
    assert (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE) == (False, False)


def test_an_unknown_embedded_name():
    with pytest.raises(QweftError, match=r"embedded:gsm: unknown; there are .*did you mean embedded:gsm_symbolic"):
        list(read_rows("embedded:gsm"))


def test_plain_text_is_read_in_stretches_that_end_with_a_paragraph(tmp_path):
    paragraphs = [f"Paragraph {number}. " + "word " * 150 for number in range(100)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    rows = [row for _, row in read_rows(str(tmp_path / "book.txt"))]
    assert "".join(row["text"] for row in rows) == "\n\n".join(paragraphs)
    assert all(4000 <= len(row["text"]) <= 16000 for row in rows) and len(rows) > 5
    assert all(row["text"].startswith("Paragraph") for row in rows)
    assert len({row["group"] for row in rows}) == len(rows)


def test_a_csv_file_that_begins_with_a_blank_line(tmp_path):
    (tmp_path / "a.csv").write_text("\nquestion,answer\nq,a\n")
    with pytest.raises(QweftError, match="the first line is blank, and should name the columns; remove it"):
        list(read_rows(str(tmp_path / "a.csv")))


def test_what_tells_of_a_data_set_is_none_of_its_rows(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", ".jsonl")
    (tmp_path / "dataset_infos.json").write_text("{}")
    with pytest.raises(QweftError, match=r"the rows are not in this folder but in .*data; give"):
        list(read_rows(str(tmp_path)))
    write(tmp_path, ".csv")
    assert len(list(read_rows(str(tmp_path)))) == len(ROWS)


def test_copies_of_a_text_in_a_folder_share_their_groups(tmp_path):
    text = "\n\n".join(f"Paragraph {number}. " + "word " * 150 for number in range(100))
    for name in ("book.txt", "book copy.txt", "book.md"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    groups = {}
    for _, row in read_rows(str(tmp_path)):
        groups.setdefault(row["text"], []).append(row["group"])
    assert len(groups) > 5
    assert all(len(each) == 3 and len(set(each)) == 1 for each in groups.values())


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_numbers_of_json_have_the_digits_that_were_written(tmp_path, ending):
    digits = ["0.00001", "1.50", "12345678901234567890.25", "-2", "6.02e23"]
    rows = [f'{{"prompt": "p", "response": {each}}}' for each in digits]
    text = "[" + ",".join(rows) + "]" if ending == ".json" else "\n".join(rows)
    (tmp_path / f"rows{ending}").write_text(text)
    read = [to_conversation(row, where) for where, row in read_rows(str(tmp_path / f"rows{ending}"))]
    assert [conversation.answer for conversation in read] == digits
    row = '{"instruction": "p", "input": 0.0, "output": "x"}'
    (tmp_path / f"rows{ending}").write_text(f"[{row}]" if ending == ".json" else row)
    ((where, row),) = read_rows(str(tmp_path / f"rows{ending}"))
    assert to_conversation(row, where).messages[0].content == "p\n\n0.0"
    with pytest.raises(QweftError, match=r"label 0\.0 tells good answers from bad ones"):
        to_conversation({"prompt": "p", "completion": "x", "label": type(row["input"])("0.00")}, "here")


def test_plain_text_without_any_line_end_and_in_chinese(tmp_path):
    text = "今天天气很好。" * 20_000
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    rows = [row["text"] for _, row in read_rows(str(tmp_path / "a.md"))]
    assert "".join(rows) == text and all(row.endswith("。") for row in rows)


def test_a_large_text_is_never_in_memory_as_a_whole(tmp_path):
    import tracemalloc

    path = tmp_path / "large.txt"
    with path.open("w") as file:
        for number in range(40_000):
            file.write(f"Line {number} of a large file, " + "x" * 200 + "\n")
    tracemalloc.start()
    count = sum(1 for _ in read_rows(str(path)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count > 500 and most < path.stat().st_size / 10


def test_plain_text_counts_in_a_folder_where_there_is_nothing_else(tmp_path):
    (tmp_path / "notes.md").write_text("some notes")
    assert [row["text"] for _, row in read_rows(str(tmp_path))] == ["some notes"]
    write(tmp_path, ".csv")
    assert [row for _, row in read_rows(str(tmp_path))] == ROWS


def test_only_the_first_rows(tmp_path):
    assert [row for _, row in read_rows(str(write(tmp_path, ".jsonl")), max_rows=1)] == ROWS[:1]
    with pytest.raises(QweftError, match=r"data.max_rows must be at least 1, got 0"):
        list(read_rows("a.jsonl", max_rows=0))


SETS = {
    "CPsyCounD": {"instruction": "你好", "input": "", "output": "您好", "history": [["在吗", "在的"]]},
    "R1-Distill-SFT": {
        "id": "1",
        "reannotated_messages": [
            {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>\nadd\n</think>\n\n4"},
        ],
        "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "5"}],
        "reannotated_assistant_content": "4", "source": "numinamath", "source_dataset": "x", "verified": None,
    },
    "Chinese-DeepSeek-R1-Distill-data-110k": {
        "input": "二加二？", "reasoning_content": "加起来。", "content": "四", "repo_name": "math", "score": 10,
        "prompt_tokens_len": 3, "content_tokens_len": 1, "reasoning_content_tokens_len": 3,
    },
    "MetaMathQA": {"query": "2+2?", "response": "4", "type": "GSM_AnsAug", "original_question": "2+2?"},
    "GSM8K": {"question": "2+2?", "answer": "2+2=<<2+2=4>>4\n#### 4"},
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_public_data_set_by_name_from_the_hub_and_from_a_file(tmp_path, monkeypatch, name):
    calls = []
    monkeypatch.setattr("datasets.load_dataset", lambda *asked, **_: calls.append(asked) or [SETS[name]])
    assert [row for _, row in read_rows(name.upper())] == [SETS[name]]
    assert calls[0][0].count("/") == 1
    path = tmp_path / "copy.jsonl"
    path.write_text(json.dumps(SETS[name], ensure_ascii=False), encoding="utf-8")
    assert [row for _, row in read_rows(name, file=str(path))] == [SETS[name]] and len(calls) == 1
    path.write_text(json.dumps({"text": "something else"}))
    with pytest.raises(
        QweftError, match=rf"copy.jsonl, row 1: this is not {name}, whose rows have .*its columns are text"
    ):
        list(read_rows(name, file=str(path)))


def test_a_public_data_set_that_cannot_be_had(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("Couldn't reach it")

    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(QweftError, match=r"CPsyCoun: .*or give CPsyCounD's own file with data.file"):
        list(read_rows("cpsycound"))
    with pytest.raises(QweftError, match=r"data.file .*none.jsonl: there is no such file"):
        list(read_rows("cpsycound", file=str(tmp_path / "none.jsonl")))
    with pytest.raises(QweftError, match=r"data.source a.jsonl is not the name of a public data set \(CPsyCounD,"):
        list(read_rows("a.jsonl", file="b.jsonl"))


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("inside", [False, True])
def test_only_regular_files_are_read(tmp_path, kind, inside):
    path = tmp_path / "rows.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        socket.socket(socket.AF_UNIX).bind(str(path))
    with pytest.raises(QweftError, match=r"rows.jsonl: cannot be read \(.*a pipe, a socket or a device"):
        list(read_rows(str(tmp_path if inside else path)))


TWICE = '{"question": "a", "answer": "b", "answer": "c"}'


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", f'{{"text": "a"}}\n{TWICE}', "a.jsonl, line 2: not JSON (the key 'answer' stands twice"),
        ("a.jsonl", f'{{"messages": [{TWICE}]}}', "a.jsonl, line 1: not JSON (the key 'answer' stands twice"),
        ("a.json", f"[{TWICE}]", "a.json: not JSON (the key 'answer' stands twice"),
        ("a.jsonl", '{"text": ' + "[" * 100_000, "a.jsonl, line 1: not JSON (nested too deeply)"),
        ("a.json", "[" * 100_000, "a.json: not JSON (nested too deeply)"),
        ("a.jsonl", '{"text": ' + "9" * 5000 + "}", "not JSON (a number of too many digits)"),
        ("a.csv", "text,text\na,b", "the column 'text' stands twice"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_row_is_named_with_its_line(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(QweftError) as caught:
        list(read_rows(str(tmp_path / name)))
    assert told in str(caught.value)


def test_many_columns_and_long_fields_take_no_time(tmp_path):
    names = ["text", *(f"c{number}" for number in range(100_000))]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n" + ",".join("a" for _ in names))
    (tmp_path / "long.csv").write_text("text\n" + "a" * 10_000_000)
    (tmp_path / "long.jsonl").write_text('{"text": "' + "a" * 50_000_000 + '"}')
    begun = time.monotonic()
    ((_, row),) = read_rows(str(tmp_path / "wide.csv"))
    assert len(row) == 100_001
    for name in ("long.csv", "long.jsonl"):
        with pytest.raises(QweftError, match=f"{name}, row 1: it holds more than 4,194,304 characters"):
            list(read_rows(str(tmp_path / name)))
    assert time.monotonic() - begun < 20


def test_a_parquet_files_objects_have_no_keys_of_other_rows(tmp_path):
    """Its table has every key of any row's, null elsewhere; a call would be learned with arguments that it lacks."""
    calls = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "add", "arguments": {"a": 1, "b": [None, 2]}}]
    turns = [[{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}] for call in calls]
    rows = [{"messages": each, "system": None} for each in turns]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert [row for _, row in read_rows(str(tmp_path / "a.parquet"))] == rows


def test_a_struct_keeps_its_nulls_which_columns_may_name(tmp_path):
    rows = [{"prompt": "q", "completion": "a", "meta": {"system": each}} for each in ("be brief", None)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert [row for _, row in read_rows(str(tmp_path / "a.parquet"))] == rows
