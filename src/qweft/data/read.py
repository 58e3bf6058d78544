"""Rows of a source: files, folders, the hub, public data sets by name, and the embedded data sets."""

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from qweft.data.conversation import TEXT, Message, default_group
from qweft.data.embedded import check_embedded, embedded_rows
from qweft.data.turns import RowError
from qweft.errors import QweftError
from qweft.files import check_regular, named_path
from qweft.internals.providers import from_the_cache
from qweft.models.resolve import hub_answers, no_answer
from qweft.text import listed, some

Located = tuple[str, dict[str, Any] | RowError]
"""The place of a row, such as "data.jsonl, row 3", and its columns, or the error of a line that holds no row."""
PIECE = 8000
"""Most characters of a piece of a text file: a few thousand tokens, cut to the wanted length later."""
CHUNK = 1 << 16
MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What stands between the columns of a CSV file."""
PLAIN = (".txt", ".md")
ABOUT = {
    *("readme", "license", "licence", "changelog", "citation", "notice"),
    *("dataset_infos", "dataset_info", "dataset_dict"),
}
"""Names of files that tell of a data set, in its folder."""
HELD_OUT = {"test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation", "heldout", "holdout"}
"""Words in the names of files with held-out rows."""
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
    data = named(source)
    _, at, split = source.partition("@")
    place = f"{data}{at}{split}" if data else source
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
    check_embedded(source)
    is_path = Path(source).suffix.lower() in READERS or HUB_ID.fullmatch(source) is None
    if not source.startswith("embedded:") and is_path and not named_path(source).exists():
        raise QweftError(
            f"data {source}: there is no such file or folder; check the path, or give a hub id or embedded:NAME"
        )


def named(source: str) -> str | None:
    """Return the hub id of a public data set by its name, case and @SPLIT ignored; `None` if the name is not known."""
    name = source.partition("@")[0].casefold()
    return next((hub_id for known, (hub_id, _) in NAMED.items() if name == known.casefold()), None)


def read_hub(source: str, stream: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) of a split of a data set on the hub, or of its copy in the local cache."""
    import datasets

    parts = HUB_ID.fullmatch(source)
    assert parts is not None  # `located_rows` takes every other source for a path
    split, number = parts["split"] or "train", 0
    answers = hub_answers(f"datasets/{parts['id']}/resolve/main/README.md")
    try:
        with nullcontext() if answers else from_the_cache():
            rows = datasets.load_dataset(parts["id"], parts["part"], split=split, streaming=stream)
        for number, row in enumerate(rows, 1):
            yield f"{source}, row {number}", dict(row)
    except Exception as fault:  # a connection may break while rows are streamed
        first = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
        reason = first[:200].rstrip(".") if answers else no_answer()
        raise QweftError(
            f"data {source}: no file or folder, and no row {number + 1} of {split} on the hub ({reason})"
        ) from fault


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder that are read, in the order of their names; texts only if there is nothing else."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in READERS and file.name[0] != ".")
    files = [file for file in files if file.stem.lower() not in ABOUT]
    return [file for file in files if file.suffix.lower() not in PLAIN] or files


def _read_folder(folder: Path, notes: list[str]) -> Iterator[Located]:
    """Yield the rows of all files of a folder; pieces of text that are copies of each other share a group."""
    if (folder / "state.json").is_file():  # of `save_to_disk`
        import datasets

        for number, row in enumerate(datasets.load_from_disk(str(folder)), 1):
            yield f"{folder.name}, row {number}", _without_nulls(row)
        return
    files = _files(folder)
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


def beside_training(source: str) -> str:
    """Return a note on a folder where a training file stands beside those of held-out parts; else an empty text."""
    path = named_path(source)
    files = _files(path) if named(source) is None and path.is_dir() else []
    stems = {file.name: re.sub(r"held[-_ ]out", "heldout", file.stem.lower()) for file in files}
    words = {name: {*re.split(r"[\W_\d]+", stem)} for name, stem in stems.items()}
    held_out = [name for name in words if words[name] & HELD_OUT]
    train = [name for name in words if words[name] & {"train", "training"} and name not in held_out]
    if not held_out or not train:
        return ""
    return f"rows of {some(held_out)} are read like those of {train[0]}; give {path / train[0]} in place of {source}"


def _read_file(path: Path, notes: list[str]) -> Iterator[Located]:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        ending = path.suffix or "no ending"
        raise QweftError(f"data {path}: {ending} is not understood; convert it to one of {', '.join(READERS)}")
    number = 0
    try:
        check_regular(path)
        for number, row in enumerate(reader(path, notes), 1):
            where = f"{path.name}, row {number}"
            if not isinstance(row, dict | RowError):
                row = RowError(where, f"an object with named columns was expected, not {type(row).__name__}")
            yield where, row
    except UnicodeError as fault:
        raise QweftError(f"data {path}: not UTF-8 text ({fault.args[-1]}); save it as UTF-8") from fault
    except OSError as fault:
        raise QweftError(f"data {path}: cannot be read ({fault})") from fault
    if number == 0:
        raise QweftError(f"data {path}: the file holds no rows")


def _encoding_of(path: Path) -> str:
    """Return the encoding of a text: by its byte-order mark, else UTF-8 if it is that, else cp1252."""
    with path.open("rb") as handle:
        if handle.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(CHUNK):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _opened(path: Path, notes: list[str]) -> TextIO:
    encoding = _encoding_of(path)
    notes += [f"{path.name} is read as {encoding.upper()}"] * (encoding != "utf-8-sig")
    return path.open(encoding=encoding)


def _read_text(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a text file in rows of 4,000 to 16,000 characters that end with a paragraph, line or word if possible."""
    rest, number = "", 0
    with _opened(path, notes) as handle:
        while chunk := handle.read(CHUNK):
            rest += chunk
            while len(rest) >= 2 * PIECE:
                marks = (rest.rfind(mark, PIECE // 2, PIECE) + len(mark) for mark in ("\n\n", "\n", "。", ". ", " "))
                end = next((place for place in marks if place > PIECE // 2), PIECE)
                piece, rest = rest[:end], rest[end:]
                if piece.strip():
                    number += 1
                    yield {"text": piece, "group": f"{path.name}:{number}"}
    if rest.strip():
        yield {"text": rest, "group": f"{path.name}:{number + 1}"}


def _not_json(path: Path, line: int, fault: Exception, way: str) -> RowError:
    reason = str(fault)[:100]  # of nesting too deep
    if isinstance(fault, json.JSONDecodeError):
        reason = f"{fault.msg.removesuffix(' at')} at column {fault.colno}"
        line += fault.lineno - 1
    return RowError(f"{path.name}, line {line}", f"not JSON ({reason}); {way}")


def _read_jsonl(path: Path, notes: list[str]) -> Iterator[Any]:
    with _opened(path, notes) as handle:
        for number, line in enumerate(handle, 1):
            if line.strip():
                try:
                    yield json.loads(line.rstrip("\r\n"))
                except (ValueError, RecursionError) as fault:
                    yield _not_json(path, number, fault, "each line of a .jsonl file is one whole object")


def _read_json(path: Path, notes: list[str]) -> Iterator[Any]:
    with _opened(path, notes) as handle:
        text = handle.read()
    try:
        content = json.loads(text) if text.strip() else []
    except (ValueError, RecursionError) as fault:
        way = "a file with one object on each line ends in .jsonl"
        raise QweftError(str(_not_json(path, 1, fault, way))) from fault
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise QweftError(f"data {path}: a list of rows was expected, or an object whose data is such a list")
    yield from rows


def _read_csv(path: Path, notes: list[str]) -> Iterator[Any]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    encoding = _encoding_of(path)
    with path.open(encoding=encoding, newline="") as handle:
        sample = list(islice(handle, 20))
        mark = _delimiter(sample)
        taken = [f"as {encoding.upper()}"] * (encoding != "utf-8-sig")
        taken += [f"with {MARKS[mark]} between its columns"] * (mark != ",")
        if taken:
            notes.append(f"{path.name} is read {listed(taken)}")
        handle.seek(0)
        # strict: else an unclosed quote would swallow the following rows, and a quote inside a field would cut it
        has_spaces = any(f'{mark} "' in line for line in sample)
        reader = csv.DictReader(handle, strict=True, delimiter=mark, skipinitialspace=has_spaces)
        try:
            columns = list(reader.fieldnames or ())
            twice = [name for name, count in Counter(columns).items() if count > 1]
            if twice:
                raise QweftError(f"data {path}: the column {twice[0]!r} stands twice in the first line; rename one")
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
    except (pyarrow.ArrowException, ArithmeticError, LookupError, ValueError) as fault:
        reason = (str(fault) or repr(fault)).splitlines()[0]
        raise QweftError(f"data {path}: not readable as Parquet ({reason})") from fault


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
