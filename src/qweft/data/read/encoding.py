"""Encodings of texts: UTF-8, UTF-16 by its byte-order mark, and that of western spreadsheets."""

import codecs
from pathlib import Path
from typing import TextIO


def open_text(path: Path, notes: list[str], newline: str | None = None) -> TextIO:
    """Open a text by its byte-order mark, else as UTF-8 if it is that, else as cp1252."""
    encoding = find_encoding(path)
    if encoding != "utf-8-sig":
        notes.append(f"{path.name} is read as {encoding.upper()}")
    return path.open(encoding=encoding, newline=newline)


def find_encoding(path: Path) -> str:
    """Return the encoding of a text file."""
    with path.open("rb") as file:
        start = file.read(2)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    return "utf-8-sig" if _is_utf8(path) else "cp1252"


def _is_utf8(path: Path) -> bool:
    """Return whether all of a file is UTF-8, which text in another encoding almost never is."""
    try:
        with path.open(encoding="utf-8-sig") as text:
            for _line in text:
                pass
    except UnicodeDecodeError:
        return False
    return True
