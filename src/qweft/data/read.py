"""Rows of a source: files, folders, the hub, public data sets by name, and the embedded data sets."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from qweft.core.errors import QweftError
from qweft.core.files import named_path
from qweft.core.text import some
from qweft.data.conversation import TEXT, Message, default_group
from qweft.data.embedded import check_embedded, embedded_rows
from qweft.data.turns import RowError
from qweft.internals.providers import from_the_cache
from qweft.models.resolve import no_answer

Located = tuple[str, dict[str, Any] | RowError]
"""The place of a row, such as "data.jsonl, row 3", and its columns, or the error of a line that holds no row."""
PIECE = 8000
"""Most characters of a piece of a text file: a few thousand tokens, cut to the wanted length later."""
MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What stands between the columns of a CSV file."""
PLAIN = (".txt", ".md")
ABOUT = {
    *("readme", "license", "licence", "changelog", "citation", "notice"),
    *("dataset_infos", "dataset_info", "dataset_dict"),
}
"""Names of files that tell of a data set, in its folder."""
HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(:(?P<part>[\w.-]+))?(@(?P<split>[\w.-]+))?")
NAMED = {
    "CPsyCounD": ("CAS-SIAT-XinHai/CPsyCoun", "3,134 Chinese counselling dialogues; the paper's"),
    "R1-Distill-SFT": (
        "ServiceNow-AI/R1-Distill-SFT:v1",
        "1.7 million problems with DeepSeek-R1's chains of thought; the paper's",
    ),
    "Chinese-DeepSeek-R1-Distill-data-110k": (
        "Congliu/Chinese-DeepSeek-R1-Distill-data-110k",
        "110,000 Chinese questions with DeepSeek-R1's chains of thought; the paper's",
    ),
    "MetaMathQA": (
        "meta-math/MetaMathQA",
        "395,000 questions with worked answers, made of GSM8K's and MATH's training questions",
    ),
    "GSM8K": ("openai/gsm8k:main", "7,473 word problems with worked answers; GSM8K@test has 1,319 others"),
}
"""Public data sets that have a name in Qweft: their id on the hub, and one line about each."""


def located_rows(source: str, max_rows: int | None, notes: list[str]) -> Iterator[Located]:
    """Yield (where, row or error) of a data source in order; `notes` receives encodings and delimiters taken."""
    place = named(source)
    check_place(place)
    path = named_path(place)
    rows: Iterator[Located]
    if place.startswith("embedded:"):
        rows = embedded_rows(place.removeprefix("embedded:"))
    elif path.is_dir():
        rows = _read_folder(path, notes)
    elif path.exists():
        rows = _read_file(path, notes)
    else:
        rows = read_hub(place, stream=max_rows is not None)
    yield from islice(rows, max_rows)


def check_place(source: str) -> None:
    """Raise if a path does not exist, or an embedded data set is not known or installed; both are cheap."""
    if source.startswith("embedded:"):
        check_embedded(source)
        return
    is_path = Path(source).suffix.lower() in READERS or HUB_ID.fullmatch(source) is None
    is_there = source.strip() and named_path(source).exists()  # nothing would be the current folder
    if is_path and not is_there:
        raise QweftError(
            f"data {source}: there is no such file or folder; check the path, or give a hub id or embedded:NAME"
        )


def named(source: str) -> str:
    """Return a source with the hub id of a public data set in place of its name, whose case does not matter."""
    name, at, split = source.partition("@")
    ids = {known.casefold(): hub_id for known, (hub_id, _) in NAMED.items()}
    return ids.get(name.casefold(), name) + at + split


def read_hub(source: str, stream: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) of a split of a data set on the hub, or of its copy in the local cache."""
    import datasets

    parts = HUB_ID.fullmatch(source)
    assert parts is not None  # `located_rows` takes every other source for a path
    split, number = parts["split"] or "train", 0
    silent = no_answer(f"datasets/{parts['id']}/resolve/main/README.md")
    try:
        with from_the_cache() if silent else nullcontext():
            rows = datasets.load_dataset(parts["id"], parts["part"], split=split, streaming=stream)
        for number, row in enumerate(rows, 1):
            yield f"{source}, row {number}", dict(row)
    except Exception as fault:  # a connection may break while rows are streamed
        first = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
        reason = silent or first[:200].rstrip(".")
        raise QweftError(
            f"data {source}: no file or folder, and no row {number + 1} of {split} on the hub ({reason})"
        ) from fault


def _read_folder(folder: Path, notes: list[str]) -> Iterator[Located]:
    """Yield the rows of all files of a folder, of texts only if there is nothing else; equal texts share a group."""
    if (folder / "state.json").is_file():  # of `save_to_disk`
        import datasets

        for number, row in enumerate(datasets.load_from_disk(str(folder)), 1):
            yield f"{folder.name}, row {number}", _without_nulls(row)
        return
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in READERS and file.name[0] != ".")
    files = [file for file in files if file.stem.lower() not in ABOUT]
    files = [file for file in files if file.suffix.lower() not in PLAIN] or files
    if len(files) > 1:
        notes.append(f"{folder} is read as {some(file.name for file in files)}")
    if not files:
        folders = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."]
        below = f"; give one of its folders, such as {folders[0]}" if folders else ""
        raise QweftError(f"data {folder}: the folder holds no file ending in {', '.join(READERS)}{below}")
    groups: dict[str, str] = {}
    for file in files:
        for where, row in _read_file(file, notes):
            if file.suffix.lower() in PLAIN and isinstance(row, dict):
                row["group"] = groups.setdefault(default_group([Message(TEXT, row["text"])]), row["group"])
            yield where, row


def _read_file(path: Path, notes: list[str]) -> Iterator[Located]:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        ending = path.suffix or "no ending"
        raise QweftError(f"data {path}: {ending} is not understood; convert it to one of {', '.join(READERS)}")
    try:
        for number, row in enumerate(reader(path, notes), 1):
            where = f"{path.name}, row {number}"
            if not isinstance(row, dict | RowError):
                row = RowError(where, f"an object with named columns was expected, not {type(row).__name__}")
            yield where, row
    except (OSError, UnicodeError) as fault:
        raise QweftError(f"data {path}: cannot be read ({fault}); save a text as UTF-8") from fault


def _opened(path: Path, notes: list[str], newline: str | None = None) -> TextIO:
    """Open a text by its byte-order mark, else as UTF-8 if it is that, else as cp1252."""
    with path.open("rb") as handle:
        encoding = "utf-16" if handle.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        with path.open(encoding=encoding) as text:
            for _ in text:
                pass
    except UnicodeDecodeError:
        encoding = "cp1252"
    if encoding != "utf-8-sig":
        notes.append(f"{path.name} is read as {encoding.upper()}")
    return path.open(encoding=encoding, newline=newline)


def _read_text(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a text file in rows of 4,000 to 16,000 characters that end with a paragraph, line or word if possible."""
    with _opened(path, notes) as handle:
        text = handle.read()
    start, number = 0, 0
    while start < len(text):
        half, end = start + PIECE // 2, start + PIECE
        if len(text) < end + PIECE:
            end = len(text)
        else:
            marks = (text.rfind(mark, half, end) + len(mark) for mark in ("\n\n", "\n", "。", ". ", " "))
            end = next((place for place in marks if place > half), end)
        piece, start = text[start:end], end
        if piece.strip():
            number += 1
            yield {"text": piece, "group": f"{path.name}:{number}"}


def _read_jsonl(path: Path, notes: list[str]) -> Iterator[Any]:
    with _opened(path, notes) as handle:
        for number, line in enumerate(handle, 1):
            if line.strip():
                try:
                    yield json.loads(line.rstrip("\r\n"))
                except ValueError as fault:
                    what = f"not JSON ({fault}); each line of a .jsonl file is one whole object"
                    yield RowError(f"{path.name}, line {number}", what)


def _read_json(path: Path, notes: list[str]) -> Iterator[Any]:
    with _opened(path, notes) as handle:
        text = handle.read()
    try:
        content = json.loads(text) if text.strip() else []
    except ValueError as fault:
        way = "a file with one object on each line ends in .jsonl"
        raise QweftError(f"data {path}: not JSON ({fault}); {way}") from fault
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise QweftError(f"data {path}: a list of rows was expected, or an object whose data is such a list")
    yield from rows


def _read_csv(path: Path, notes: list[str]) -> Iterator[Any]:
    csv.field_size_limit(2**31 - 1)
    with _opened(path, notes, newline="") as handle:
        sample = list(islice(handle, 20))
        mark = _delimiter(sample)
        if mark != ",":
            notes.append(f"{path.name} is read with {MARKS[mark]} between its columns")
        handle.seek(0)
        # strict: else an unclosed quote would swallow the following rows, and a quote inside a field would cut it
        has_spaces = any(f'{mark} "' in line for line in sample)
        reader = csv.DictReader(handle, strict=True, delimiter=mark, skipinitialspace=has_spaces)
        try:
            columns = list(reader.fieldnames or ())
            if len({*columns}) < len(columns):
                raise QweftError(
                    f"data {path}: a column stands twice in the first line, {', '.join(columns)}; rename one"
                )
            for row in reader:
                beyond = [field for field in row.pop(None, None) or () if field]
                what = f"more fields than the {len(columns)} columns of the first line ({beyond[:1]} is beyond them)"
                yield RowError(f"{path.name}, line {reader.line_num}", what) if beyond else row
        except csv.Error as fault:
            raise QweftError(
                f"data {path}: not readable as CSV ({fault}, after line {reader.line_num}); double quotes in a text"
            ) from fault


def _delimiter(sample: Sequence[str]) -> str:
    """Return the mark by which all rows are as long as the first, and have most columns; of equals the first."""

    def fit(mark: str) -> tuple[bool, int]:
        sizes = [len(row) for row in csv.reader(sample, delimiter=mark) if row] or [0]
        return len({*sizes}) == 1 and sizes[0] > 1, sizes[0]

    return max(MARKS, key=fit)


def _read_parquet(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        for batch in ParquetFile(path).iter_batches(batch_size=256):
            yield from map(_without_nulls, batch.to_pylist())
    except pyarrow.ArrowException as fault:
        raise QweftError(f"data {path}: not readable as Parquet ({fault})") from fault


def _without_nulls(value: Any, in_list: bool = False) -> Any:
    """Return a row whose lists (of turns, calls, tools) have no keys that the table has for other objects alone."""
    if isinstance(value, dict):  # outside of lists a null stays, which data.columns may name
        return {key: _without_nulls(each, in_list) for key, each in value.items() if not in_list or each is not None}
    return [_without_nulls(each, in_list=True) for each in value] if isinstance(value, list) else value


READERS: dict[str, Callable[[Path, list[str]], Iterator[Any]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    **dict.fromkeys(PLAIN, _read_text),
}
