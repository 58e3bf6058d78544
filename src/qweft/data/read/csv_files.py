"""Rows of a CSV file, with the delimiter that it has."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError
from qweft.data.read.encoding import open_text
from qweft.data.row import RowError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE_LINES = 20
"""Lines at the beginning of a file by which its delimiter is found."""
LONGEST_FIELD = 2**31 - 1
"""The default limit of the csv module, 131,072 characters, is shorter than some texts."""


def read_csv(path: Path, notes: list[str]) -> Iterator[dict[str, Any] | RowError]:
    """Yield the rows of a CSV file by the names in its first line."""
    csv.field_size_limit(LONGEST_FIELD)
    with open_text(path, notes, newline="") as file:
        sample = list(islice(file, SAMPLE_LINES))
        file.seek(0)
        delimiter = find_delimiter(sample)
        if delimiter != ",":
            notes.append(f"{path.name} is read with {DELIMITERS[delimiter]} between its columns")
        has_spaces = any(f'{delimiter} "' in line for line in sample)
        # strict: else an unclosed quote would swallow the following rows, and a quote inside a field would cut it
        reader = csv.DictReader(file, strict=True, delimiter=delimiter, skipinitialspace=has_spaces)
        try:
            columns = list(reader.fieldnames or ())
            if len(set(columns)) < len(columns):
                raise QweftError(
                    f"data {path}: a column stands twice in the first line, {', '.join(columns)}; rename one"
                )
            for row in reader:
                yield _check_length(row, len(columns), f"{path.name}, line {reader.line_num}")
        except csv.Error as fault:
            raise QweftError(
                f"data {path}: not readable as CSV ({fault}, after line {reader.line_num}); double quotes in a text"
            ) from fault


def _check_length(row: dict[Any, Any], columns: int, where: str) -> dict[str, Any] | RowError:
    """Return the row, or an error if it has more fields than there are columns, as after a comma without quotes."""
    surplus = [field for field in row.pop(None, None) or () if field]
    if not surplus:
        return row
    return RowError(where, f"more fields than the {columns} columns of the first line ({surplus[:1]} is beyond them)")


def find_delimiter(sample: Sequence[str]) -> str:
    """Return the delimiter by which all lines have as many fields as the first, and most; of equals the first."""

    def rate(delimiter: str) -> tuple[bool, int]:
        lengths = [len(fields) for fields in csv.reader(sample, delimiter=delimiter) if fields]
        if not lengths:
            return False, 0
        is_table = len(set(lengths)) == 1 and lengths[0] > 1
        return is_table, lengths[0]

    return max(DELIMITERS, key=rate)
