"""Reading of JSON records, which may be damaged or a stranger's.

The record of a run carries a mark of its config, made with a key in the user's cache folder. So commands know whether
this user wrote it on this machine.
"""

import hmac
import json
import math
import os
import secrets
from errno import EISDIR, ELOOP, ENOTDIR
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.files import cache_folder, finite, read_bytes, write_bytes, write_json
from qweft.core.reader import MAPPING, Reader

MOST_BYTES = 256 * 2**20
"""Largest record that is read."""
MARK = "mark"
FORMAT = 1
"""Version of the records that this program writes."""
WRONG = "is not a record of this program"


def read_json(path: Path, way: str) -> dict[str, Any]:
    """Return the mapping in a JSON file of another program; what no record holds, as NaN, is refused.

    Raise `QweftError`, with the way out, without a mapping, and an OSError where the disk refuses the file.
    """
    try:
        text = read_bytes(path, MOST_BYTES)
        value = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_integer)
        if not isinstance(value, dict):
            raise ValueError
        json.dumps(value, ensure_ascii=False).encode()  # half a character is no text, and raises
    except FileNotFoundError as error:
        raise QweftError(f"{path}: no such file; {way}") from error
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno not in (EISDIR, ENOTDIR, ELOOP):
            raise
        raise QweftError(f"{path} {WRONG}; {way}") from error
    return value


def read_record(path: Path, way: str) -> dict[str, Any]:
    """Return a record that `write_record` wrote, without its format; raise as `read_json`, also for another format."""
    record = read_json(path, way)
    if record.pop("format", None) != FORMAT:
        raise QweftError(f"{path} {WRONG}; {way}")
    return record


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _integer(text: str) -> int:
    if len(text) > 40:  # no float holds one of hundreds
        raise ValueError
    return int(text)


def write_record(path: str | os.PathLike[str], record: dict[str, Any], part: str | None = None) -> None:
    """Write a record with its format as JSON, atomically; with a mark of a part, by which `is_own` knows it."""
    mark = None if part is None else _mark_of(record.get(part), make_key=True)
    write_json(path, {"format": FORMAT, **record, **({} if mark is None else {MARK: mark})})


def is_own(record: dict[str, Any], part: str = "config") -> bool:
    """Whether this user wrote a part of a record on this machine."""
    own, mark = _mark_of(record.get(part), make_key=False), record.get(MARK)
    return own is not None and isinstance(mark, str) and hmac.compare_digest(own.encode(), mark.encode())


def _mark_of(config: Any, make_key: bool) -> str | None:
    try:
        path = cache_folder() / "key"
        if make_key and not path.exists():
            write_bytes(path, secrets.token_bytes(32), mode=0o600)
        key = read_bytes(path, 32)
    except (OSError, ValueError):  # ValueError: there is no home folder
        return None
    text = json.dumps(finite(config), sort_keys=True)
    return hmac.digest(key, text.encode(), "sha256").hex() if len(key) == 32 else None


def typed_keys(kind: type, value: Any, path: Path, way: str, name: str) -> dict[str, Any]:
    """Return the keys of a dataclass that a part of a record, with this dotted name, has, checked as in a config."""
    reader = Reader(kind, str(path))
    try:
        if not isinstance(value, dict):
            raise reader.error(name, MAPPING)
        checked: dict[str, Any] = reader.check(kind, value, name)
    except QweftError as error:
        reason = str(error).removeprefix(f"{path}: ").rstrip("?.")
        raise QweftError(f"{path} is not a record of this program ({reason}); {way}") from None
    return checked
