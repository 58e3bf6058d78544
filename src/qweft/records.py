"""Strict reading of JSON records. They may be damaged, or come in a folder that a stranger made.

The record of a run carries a mark of its config, made with a key in the user's cache folder. So commands know whether
this user wrote it on this machine.
"""

import hmac
import json
import math
import os
import secrets
from collections import Counter
from errno import EINVAL, ELOOP
from pathlib import Path
from typing import Any

from qweft.errors import QweftError
from qweft.files import cache_folder, finite, read_bytes, write_bytes
from qweft.schema import Reader

MOST_BYTES = 32 * 2**20
"""Largest record that is read."""
MOST_VALUES = 2_000_000
"""Most values in a record of `MOST_BYTES`: more take longer than ten seconds to check."""
DEEPEST = 64
"""Deepest nesting of lists and mappings that is read."""
MARK = "mark"
MOST_DIGITS = 40
"""Most digits of an integer; seeds and byte counts have up to 20."""


def read_record(path: Path, way: str, most: int = MOST_BYTES) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Only a regular file is read. Duplicate keys, NaN, infinity, and numbers or nesting beyond the limits are refused.

    Args:
        path: The file.
        way: What to do about a damaged record; it ends the sentence.
        most: Largest file that is read, in bytes.

    Raises:
        QweftError: If the file is missing or is not such a record.
    """
    try:
        text = read_bytes(path, most).decode("utf-8")
        if sum(map(text.count, ",[{")) > MOST_VALUES * most // MOST_BYTES:  # in text they count, too, which is seldom
            raise ValueError(f"more than {MOST_VALUES * most // MOST_BYTES:,} values")
        value = json.loads(
            text, object_pairs_hook=_mapping, parse_constant=_number, parse_float=_number, parse_int=_integer
        )
        if not isinstance(value, dict):
            raise ValueError(f"expected a mapping of keys to values, got {_called(value)}")
        check_content(value)
    except FileNotFoundError as error:
        raise QweftError(f"{path}: no such file; {way}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise QweftError(f"{_named(path)} is damaged or no record ({_said(error)}); {way}") from error
    return value


def check_damage(error: Exception) -> None:
    """Raise the disk's own error where that is why a file was not read: it may be out of reach for a moment, and whole.

    Args:
        error: What was raised; that of `read_record` has the disk's as its cause.

    Raises:
        OSError: The file is there, and the disk or its permissions refuse it.
    """
    cause = error.__cause__ if isinstance(error, QweftError) else error
    is_no_file = isinstance(cause, FileNotFoundError | IsADirectoryError | NotADirectoryError)
    if isinstance(cause, OSError) and not is_no_file and cause.errno not in (EINVAL, ELOOP):
        raise cause


def marked(record: dict[str, Any], part: str = "config") -> dict[str, Any]:
    """Return a record with a mark of a part that `is_own` recognises; without one if the key cannot be written."""
    made = _mark_of(record.get(part), make_key=True)
    return record if made is None else {**record, MARK: made}


def is_own(record: dict[str, Any], part: str = "config") -> bool:
    """Whether this user wrote a part of a record on this machine."""
    own, found = _mark_of(record.get(part), make_key=False), record.get(MARK)
    return own is not None and isinstance(found, str) and hmac.compare_digest(own.encode(), found.encode())


def _mark_of(config: Any, make_key: bool) -> str | None:
    try:
        path = cache_folder() / "key"
        if make_key and not path.exists():
            _make_key(path)
        key = read_bytes(path, 32)
    except (OSError, ValueError, QweftError):  # QweftError: there is no home folder
        return None
    text = json.dumps(finite(config), sort_keys=True)
    return hmac.digest(key, text.encode(), "sha256").hex() if len(key) == 32 else None


def _make_key(path: Path) -> None:
    """Write a new key, unless another process has just written one, with which it marks its records."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(3)}.tmp")
    write_bytes(beside, secrets.token_bytes(32), mode=0o600)
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        os.replace(beside, path)
    beside.unlink(missing_ok=True)


def typed_keys(kind: type, value: Any, path: Path, way: str, name: str) -> dict[str, Any]:
    """Return the keys of a dataclass that a part of a record has, converted and checked as in a YAML config.

    Args:
        kind: The dataclass.
        value: The part of the record.
        path: The record's file, for the error.
        way: What to do about a damaged record.
        name: Dotted name of the part.

    Raises:
        QweftError: If the part is no mapping, a key is unknown, or a value has another type.
    """
    try:
        if not isinstance(value, dict):
            raise QweftError(f"{path}: {name}: expected a mapping of keys to values, got {_called(value)}")
        checked: dict[str, Any] = Reader(kind, str(path)).check(kind, value, name)
    except QweftError as error:
        raise QweftError(f"{str(error).rstrip('?.')}; {way}") from None
    return checked


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"duplicate key {twice[:60]!r}")
    return found


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no number that JSON has")
    return value


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def check_content(value: Any, most: int | None = None) -> None:
    """Check what JSON or YAML held, so that it can be walked and written again.

    Args:
        value: The content.
        most: Most values in it, counted wherever they stand; YAML's references can make a few lines endless.

    Raises:
        RecursionError: If lists and mappings are nested too deeply, or one is inside itself.
        ValueError: If there are too many values, a text cannot be written as UTF-8, or a number has too many digits.
    """
    waiting, seen = [(value, 1)], 0
    while waiting:
        inner, depth = waiting.pop()
        seen += 1
        if most is not None and seen > most:
            raise ValueError(f"more than {most:,} values")
        if isinstance(inner, str):
            if not inner.isascii():
                inner.encode()  # an escaped half of a surrogate pair, which no terminal or file takes
        elif isinstance(inner, int):
            str(inner)
        elif isinstance(inner, dict | list):
            if depth > DEEPEST:
                raise RecursionError
            waiting += [(each, depth + 1) for each in inner]
            if isinstance(inner, dict):
                waiting += [(each, depth + 1) for each in inner.values()]


def _named(path: Path) -> str:
    return str(path).replace("\0", "\\0")


def _called(value: Any) -> str:
    """Return the name of a JSON value's type."""
    names = {type(None): "null", list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "a number")


def _said(error: Exception) -> str:
    """Return the reason without the path or the whole text, which some errors repeat."""
    if isinstance(error, OSError):
        return str(error.strerror)
    if isinstance(error, RecursionError):
        return f"nested more than {DEEPEST} levels deep"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}, line {error.lineno})"
    return "text that is not UTF-8" if isinstance(error, UnicodeError) else str(error)
