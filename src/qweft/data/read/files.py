"""Rows of a file: a reader for each type of file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.read.csv_files import read_csv
from qweft.data.read.encoding import open_text
from qweft.data.read.location import FILE_TYPES
from qweft.data.row import RowError

LocatedRow = tuple[str, dict[str, Any] | RowError]
"""The place of a row, such as "data.jsonl, row 3", and its columns, or the error of a line that holds no row."""
PIECE = 8000
"""Most characters of a piece of a text file: a few thousand tokens, cut to the wanted length later."""
PIECE_ENDS = ("\n\n", "\n", "。", ". ", " ")
"""Where a piece may end, from the best place to the worst."""


def read_file(path: Path, notes: list[str]) -> Iterator[LocatedRow]:
    """Yield the rows of a file by the reader of its ending; `notes` receives what the reader took."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        ending = path.suffix or "no ending"
        raise QweftError(f"data {path}: {ending} is not understood; convert it to one of {', '.join(FILE_TYPES)}")
    try:
        for number, row in enumerate(reader(path, notes), 1):
            where = f"{path.name}, row {number}"
            if not isinstance(row, dict | RowError):
                row = RowError(where, f"an object with named columns was expected, not {type(row).__name__}")
            yield where, row
    except (OSError, UnicodeError) as fault:
        raise QweftError(f"data {path}: cannot be read ({fault}); save a text as UTF-8") from fault


def _read_jsonl(path: Path, notes: list[str]) -> Iterator[Any]:
    with open_text(path, notes) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line.rstrip("\r\n"))
            except ValueError as fault:
                problem = f"not JSON ({fault}); each line of a .jsonl file is one whole object"
                yield RowError(f"{path.name}, line {number}", problem)


def _read_json(path: Path, notes: list[str]) -> Iterator[Any]:
    with open_text(path, notes) as file:
        text = file.read()
    if not text.strip():
        return
    try:
        content = json.loads(text)
    except ValueError as fault:
        raise QweftError(
            f"data {path}: not JSON ({fault}); a file with one object on each line ends in .jsonl"
        ) from fault
    if isinstance(content, dict):
        content = content.get("data")
    if not isinstance(content, list):
        raise QweftError(f"data {path}: a list of rows was expected, or an object whose data is such a list")
    yield from content


def _read_parquet(path: Path, _notes: list[str]) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        # in batches: a table may be larger than the memory
        for batch in ParquetFile(path).iter_batches(batch_size=256):
            yield from map(drop_nulls_in_lists, batch.to_pylist())
    except pyarrow.ArrowException as fault:
        raise QweftError(f"data {path}: not readable as Parquet ({fault})") from fault


def drop_nulls_in_lists(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose lists (of turns, calls, tools) have no keys that are null.

    All objects of a table's list have the keys of any. Outside of lists a null stays, which data.columns may name.
    """
    return {name: _drop_nulls(value, in_list=False) for name, value in row.items()}


def _drop_nulls(value: Any, in_list: bool) -> Any:
    if isinstance(value, list):
        return [_drop_nulls(element, in_list=True) for element in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, part in value.items():
        if part is not None or not in_list:
            kept[key] = _drop_nulls(part, in_list)
    return kept


def _read_text(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a text file in rows of 4,000 to 16,000 characters; each is a group."""
    with open_text(path, notes) as file:
        text = file.read()
    start = 0
    number = 0
    while start < len(text):
        end = _end_of_piece(text, start)
        piece = text[start:end]
        start = end
        if piece.strip():
            number += 1
            yield {"text": piece, "group": f"{path.name}:{number}"}


def _end_of_piece(text: str, start: int) -> int:
    """Return where a piece ends: after a paragraph in its second half if there is one, else a line, sentence, word."""
    end = start + PIECE
    if len(text) < end + PIECE:  # the rest would be a short piece
        return len(text)
    middle = start + PIECE // 2
    for mark in PIECE_ENDS:
        position = text.rfind(mark, middle, end)
        if position != -1:
            return position + len(mark)
    return end


READERS: dict[str, Callable[[Path, list[str]], Iterator[Any]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": _read_parquet,
    ".txt": _read_text,
    ".md": _read_text,
}
"""A new type of file is an entry here and in `FILE_TYPES`."""
