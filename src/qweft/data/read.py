"""Readers of rows: files, folders, the hub, public data sets by name, and the embedded data sets."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import isnan
from pathlib import Path
from typing import Any

from qweft.data.conversation import TEXT, Message, text_group
from qweft.data.embedded import check_embedded, embedded_rows
from qweft.data.hub import HUB_ID, NAMED, Located, named, read_hub
from qweft.data.tables import read_parquet
from qweft.data.turns import AsWritten, DuplicateKeyError, RowError, bounded, unique
from qweft.errors import QweftError
from qweft.files import check_regular, named_path
from qweft.text import some

STRETCH = 8000
"""Characters of a piece of a text file, at most: a few thousand tokens, cut to the wanted length later."""
CHUNK, LONGEST_FIELD = 1 << 16, 2**27
"""Characters read at a time, so that a file without line ends fits in memory; of a CSV field, at most."""


def stretches(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a text file as rows with a `text` of 4,000 to 8,000 characters; the last one has up to 16,000.

    A piece ends with a paragraph, line, sentence or word where possible. The file is never in memory as a whole. Each
    piece is its own group, so a split puts it into one part.

    Args:
        path: A text file in UTF-8.
    """
    rest, number = "", 0
    with path.open(encoding="utf-8-sig") as handle:
        while chunk := handle.read(CHUNK):
            rest += chunk
            while len(rest) >= 2 * STRETCH:
                end = _end(rest)
                piece, rest = rest[:end], rest[end:]
                if piece.strip():
                    number += 1
                    yield {"text": piece, "group": f"{path.name}:{number}"}
    if rest.strip():
        yield {"text": rest, "group": f"{path.name}:{number + 1}"}


def _end(text: str) -> int:
    """Return where the first piece of a long text ends: after the last paragraph, else line, sentence or word."""
    for mark in ("\n\n", "\n", "。", ". ", " "):
        place = text.rfind(mark, STRETCH // 2, STRETCH)
        if place >= 0:
            return place + len(mark)
    return STRETCH


def read_rows(
    source: str, max_rows: int | None = None, file: str | None = None, key: str = "data.source",
    skipped: list[tuple[str, str]] | None = None,
) -> Iterator[Located]:  # fmt: skip
    """Yield (where, row) of a data source, in its order.

    Args:
        source: A file (.jsonl, .json, .csv, .parquet, .txt, .md), a folder of such files (in the order of their names;
            plain text only if there is nothing else), "embedded:NAME", the name of a public data set (see `named`),
            or a hub id ("owner/name" or "owner/name:configuration"). The last two read the train split; append @SPLIT
            for another one.
        max_rows: Read only the first `max_rows` rows. A data set on the hub is then streamed, not downloaded whole.
        file: Local file or folder with the named data set; it is read instead of the hub.
        key: Config key of the source, for errors.
        skipped: Receives place and fault of each line that holds no row; `None` raises instead.

    Raises:
        RowError: A line holds no row.
        QweftError: The source is not found, is empty, or cannot be read; the message names file and line.
    """
    if max_rows is not None and max_rows < 1:
        raise QweftError(f"data.max_rows must be at least 1, got {max_rows}; leave it out to read all")
    data = named(source)
    if file is not None and data is None:
        names = ", ".join(each.name for each in NAMED)
        raise QweftError(
            f"data.file {file}: data.source {source} is not the name of a public data set ({names}); give the file as "
            "data.source"
        )
    if file is not None and _place(file) is None:
        raise QweftError(f"data.file {file}: there is no such file or folder")
    _, at, split = source.partition("@")
    rows = _rows(file or (f"{data.source}{at}{split}" if data else source), max_rows is not None, key)
    for number, (where, row) in enumerate(islice(rows, max_rows)):
        if isinstance(row, RowError):
            if skipped is None:
                raise row
            skipped.append((row.where, row.what))
            continue
        if data is not None and number == 0:
            data.check(row, where)
        # data frames write a missing value as NaN
        yield where, {name: None if isinstance(value, float) and isnan(value) else value for name, value in row.items()}


def check_place(source: str) -> None:
    """Check that a path exists, or that an embedded data set is known and installed; both are cheap.

    Raises:
        QweftError: The path does not exist, the data set is unknown, or its package is not installed.
    """
    check_embedded(source)
    if not source.startswith("embedded:") and _place(source) is None and _is_path(source):
        raise QweftError(
            f"data {source}: there is no such file or folder; check the path, or give a hub id or embedded:NAME"
        )


def _place(source: str) -> Path | None:
    path = named_path(source)
    return path if path.exists() else None


def _rows(source: str, stream: bool, key: str) -> Iterator[tuple[str, dict[str, Any] | RowError]]:
    """Yield (where, row), with the error in place of a row that a line does not hold."""
    if source.startswith("embedded:"):
        yield from embedded_rows(source.removeprefix("embedded:"))
        return
    path = named_path(source)
    if path.is_dir():
        files = _files(path)
        if not files:
            raise QweftError(f"data {source}: the folder holds no file ending in {', '.join(READERS)}")
        yield from _read_files(files)
    elif path.exists():
        yield from _read_file(path)
    else:
        check_place(source)
        yield from read_hub(source, stream, key)


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder that are read, in the order of their names.

    Raises:
        QweftError: The rows are in folders below, or in a kind of files that is not read.
    """
    # hidden files are those of a system: macOS puts ._rows.jsonl beside rows.jsonl
    found = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    is_saved = {"dataset_dict.json", "state.json"} & {file.name for file in found}
    if is_saved and [*folder.glob("data-*.arrow"), *folder.glob("*/data-*.arrow")]:
        raise QweftError(
            f"data {folder}: datasets' save_to_disk wrote this folder; write its rows with to_parquet, and give that"
        )
    files = [file for file in found if file.suffix.lower() in READERS]
    # A README in the folder is not data.
    rows = [file for file in files if file.suffix.lower() not in PLAIN and file.name not in OF_THE_HUB]
    about = all(file.stem.lower() in ABOUT or file.name in OF_THE_HUB for file in files)
    if not rows and about and (below := _folders_of_rows(folder)):
        raise QweftError(f"data {folder}: the rows are not in this folder but in {some(below)}; give one of these")
    return rows or [file for file in files if file.name not in OF_THE_HUB] or files


HELD_OUT_NAMES = {"test", "tests", "validation", "valid", "val", "dev", "eval", "heldout", "holdout"}
"""First or last word of a file's name that tells a held-out part; testing tells it alone, as it is also a subject."""


def beside_training(source: str) -> str:
    """Return what to know of a folder where a training file stands beside those of held-out parts; else an empty text.

    Args:
        source: A source of rows. Of other than folders nothing is to be told.
    """
    path = named_path(source)
    # a data set by name is read as such, even where a folder has that name
    is_other = source.startswith("embedded:") or named(source) is not None
    files = _files(path) if not is_other and path.is_dir() else []
    names = {file: re.sub(r"(held|hold)[\W_]out", r"\1out", file.stem.lower()) for file in files}
    parts = {file: [part for part in re.split(r"[\W_\d]+", name) if part] for file, name in names.items()}
    ends = {file: {*part[:1], *part[-1:]} for file, part in parts.items()}
    held_out = [file.name for file in files if ends[file] & HELD_OUT_NAMES or parts[file] == ["testing"]]
    is_train = {file: "train" in ends[file] or parts[file] == ["training"] for file in files}
    train = [file for file in files if is_train[file] and file.name not in held_out]
    if not held_out or not train:
        return ""
    way = f"give {train[0]} in place of {source}" if len(train) == 1 else "move them to another folder"
    return f"rows of {some(held_out)} are read like those of {train[0].name}; {way} to leave them out"


def _read_files(files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any] | RowError]]:
    """Yield the rows of all; pieces of text that are copies of each other share the first one's group."""
    groups: dict[str, str] = {}
    for file in files:
        for where, row in _read_file(file):
            if file.suffix.lower() in PLAIN and not isinstance(row, RowError):
                row["group"] = groups.setdefault(text_group(Message(TEXT, row["text"])), row["group"])
            yield where, row


def _folders_of_rows(folder: Path) -> list[str]:
    """Return the folders below, at most two levels, that hold tables or JSON: a cloned data set has them in data/."""
    found = {}
    for path in sorted((*folder.glob("*/*"), *folder.glob("*/*/*"))):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not is_hidden and path.suffix.lower() in READERS and path.suffix.lower() not in PLAIN and path.is_file():
            found[str(path.parent)] = True
    return list(found)


def _is_path(source: str) -> bool:
    known = Path(source).suffix.lower() in {*READERS, ".tsv", ".xlsx", ".gz"}
    return known or source.startswith((".", "/", "~")) or HUB_ID.fullmatch(source) is None


def _read_file(path: Path) -> Iterator[tuple[str, dict[str, Any] | RowError]]:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        ending = path.suffix or "no ending"
        raise QweftError(f"data {path}: {ending} is not understood; convert it to one of {', '.join(READERS)}")
    number = 0
    try:
        check_regular(path)
        for number, row in enumerate(reader(path), 1):
            where = f"{path.name}, row {number}"
            if not isinstance(row, dict | RowError):
                row = RowError(where, f"an object with named columns was expected, not {type(row).__name__}")
            yield where, row if isinstance(row, RowError) else bounded(where, row)
    except UnicodeDecodeError as fault:
        raise QweftError(f"data {path}: not UTF-8 text ({fault.reason}); save it as UTF-8") from fault
    except OSError as fault:
        raise QweftError(f"data {path}: cannot be read ({fault})") from fault
    if number == 0:
        raise QweftError(f"data {path}: the file holds no rows")


def _as_written(digits: str) -> AsWritten:
    number = AsWritten(digits)
    number.digits = digits
    return number


def _read_jsonl(path: Path) -> Iterator[Any]:
    # utf-8-sig drops the byte order mark that some editors write.
    with path.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, 1):
            if line.strip():
                try:
                    # without its end, else an error there would be reported on the next line
                    row = json.loads(line.rstrip("\r\n"), object_pairs_hook=unique, parse_float=_as_written)
                except (ValueError, RecursionError) as fault:
                    what = f"not JSON ({_said(fault)}); each line of a .jsonl file is one whole object"
                    row = RowError(f"{path.name}, line {number}", what)
                yield row


def _read_json(path: Path) -> Iterator[Any]:
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        return
    try:
        content = json.loads(text, object_pairs_hook=unique, parse_float=_as_written)
    except (ValueError, RecursionError) as fault:
        line = f", line {fault.lineno}" if isinstance(fault, json.JSONDecodeError) else ""
        more = "; a file with one object on each line ends in .jsonl" if _said(fault).startswith("Extra data") else ""
        raise QweftError(f"{path.name}{line}: not JSON ({_said(fault)}){more}") from fault
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise QweftError(f"data {path}: a list of rows was expected, or an object whose data is such a list")
    yield from rows


def _said(fault: Exception) -> str:
    """Return the reason of a JSON error; numbers too long and nesting too deep do not raise `JSONDecodeError`."""
    if isinstance(fault, json.JSONDecodeError):
        return f"{fault.msg} at column {fault.colno}"
    if isinstance(fault, DuplicateKeyError):
        return str(fault)
    return "nested too deeply" if isinstance(fault, RecursionError) else "a number of too many digits"


SEPARATORS = {";": "a semicolon", "\t": "a tab", "|": "a bar"}
"""What other programs write between columns."""


def _read_csv(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        # strict: else an unclosed quote would swallow the following rows, and a quote inside a field would cut it.
        csv.field_size_limit(LONGEST_FIELD)
        lines: list[str] = []
        reader = csv.DictReader(_noted(handle, lines), strict=True)
        try:
            columns = list(reader.fieldnames or ())
            if not columns and reader.line_num:
                raise QweftError(f"data {path}: the first line is blank, and should name the columns; remove it")
            _check_quotes(path, columns, lines)
            if mark := next((mark for mark in SEPARATORS if len(columns) == 1 and mark in columns[0]), None):
                raise QweftError(
                    f"data {path}: the first line is one column, {columns[0][:60]!r}, as {SEPARATORS[mark]} separates "
                    "no columns in a .csv file; save it with commas"
                )
            if len(set(columns)) < len(columns):
                twice = Counter(columns).most_common(1)[0][0]
                raise QweftError(f"data {path}: the column {twice!r} stands twice in the first line; rename one")
            for row in reader:
                more = row.pop(None, None) or ()
                _check_quotes(path, [*row.values(), *more], lines)
                lines.clear()
                if beyond := [field for field in more if field]:
                    yield RowError(
                        f"{path.name}, line {reader.line_num}",
                        f"more fields than the {len(columns)} columns of the first line ({beyond[0][:40]!r} is beyond "
                        "them); a text with commas stands in double quotes",
                    )
                    continue
                yield row
        except csv.Error as fault:
            raise QweftError(
                f"data {path}: not readable as CSV ({fault}, after line {reader.line_num}); a text with commas, quotes "
                "or line ends stands in double quotes, and quotes in it are doubled"
            ) from fault


def _noted(handle: Iterable[str], lines: list[str]) -> Iterator[str]:
    for line in handle:
        if line.strip():  # blank ones may be without end
            lines.append(line)
        yield line


def _check_quotes(path: Path, fields: Sequence[str | None], lines: Sequence[str]) -> None:
    """Refuse a row with spaces between a comma and a quote, which would be read as parts of the text.

    A field may begin with both on purpose, in quotes of its own. The row's lines tell: such a field is the same where
    spaces after commas are skipped.
    """
    spaced = next((field for field in fields if field and _is_spaced(field)), None)
    if spaced is None:
        return
    plainly = [re.sub(r"[^\S\r\n]", " ", line) for line in lines]  # the reader skips these alone
    try:
        read, skipped = (
            [field.lstrip(" ") for row in csv.reader(plainly, strict=True, skipinitialspace=skips) for field in row]
            for skips in (False, True)
        )
        is_meant = read == skipped
    except csv.Error:  # the field goes on in the next line
        is_meant = False
    if not is_meant:
        raise QweftError(
            f"data {path}: a space or tab stands before the quote in {spaced[:40]!r}, and both would be read as text; "
            "save it without spaces after the commas"
        )


def _is_spaced(field: str) -> bool:
    """Whether a field begins with a space and a quote that ends with it, or beyond it, and not within it."""
    text = field.strip()
    ends = text.endswith('"') and '"' not in text[1:-1].replace('""', "")
    return field[0].isspace() and text[:1] == '"' and (ends or text.count('"') % 2 == 1)


PLAIN = (".txt", ".md")
ABOUT = ("readme", "license", "licence", "changelog", "citation", "notice")
"""Names of files that tell of a data set, beside a folder that holds it."""
OF_THE_HUB = ("dataset_infos.json", "dataset_info.json")
"""Files that tell of a data set, in its folder of the hub or as `save_to_disk` wrote it."""
READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": read_parquet,
    **dict.fromkeys(PLAIN, stretches),
}
