"""A row of a source: its columns, the values that stand in them, and the error of a row that cannot be read."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from qweft.core.errors import QweftError

Row = Mapping[str, Any]
"""The columns of a row by name."""
UNREADABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates, which come of a wrong encoding and which no tokenizer accepts."""


class RowError(QweftError):
    """A row that cannot be read: where it stands, and what is wrong. `data.skip_bad_rows` leaves it out."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


def is_blank(value: object) -> bool:
    """Return whether a value is nothing: `None`, white space, an empty list or object, or NaN for a missing one."""
    if isinstance(value, str):
        return not value.strip()
    return value in (None, [], {}) or value != value  # NaN alone differs from itself


def is_list(value: object) -> bool:
    """Return whether a value is a list, as of messages."""
    return isinstance(value, list | tuple)


def read_text(value: Any, name: str, where: str) -> str:
    """Return a text or number as text; raise for anything else, and for half a character."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not isinstance(value, str) and not is_number:
        kind = value if isinstance(value, float) else type(value).__name__  # "nan" and "inf" say more than "float"
        raise RowError(where, f"{name} is {kind}, not text; write it as a text or a number, or leave it out")
    text = str(value)
    if UNREADABLE.search(text):
        raise RowError(where, f"{name} holds a NUL or half a character, as of a wrong encoding; save it as UTF-8")
    return text


def read_json(value: Any, name: str, where: str) -> Any:
    """Return what a JSON text holds; other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise RowError(where, f"{name}: not JSON ({str(error)[:80]})") from error


def read_list(value: Any, name: str, where: str) -> Sequence[Any]:
    """Return a list, or one of which the value is the JSON text, as a CSV file has it; empty for nothing."""
    if value is None or value == "":
        return []
    values = read_json(value, name, where)
    if not is_list(values):
        raise RowError(where, f"{name}: {type(values).__name__}, not a list")
    elements: Sequence[Any] = values
    return elements


def write_json(value: Any, name: str, where: str) -> str:
    """Return a value of a row as JSON, in which a conversation keeps its tools and their calls."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RowError(where, f"{name}: not what JSON can hold ({str(error)[:80]})") from error
    return read_text(text, name, where)


def list_columns(row: Row) -> str:
    """Return the names of the first columns of a row, for an error."""
    names = [str(name)[:40] for name in row]
    return ", ".join(names[:12]) or "none"
