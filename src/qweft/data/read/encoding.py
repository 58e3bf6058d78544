"""Encodings of texts: UTF-8, UTF-16 by its byte-order mark, and those that spreadsheets save."""

import codecs
from pathlib import Path
from typing import TextIO

from charset_normalizer import from_path

LEGACY = ["cp1252", "gb18030", "big5", "cp932", "cp949"]
"""Encodings in which Windows saves tables of western Europe, China, Taiwan, Japan and Korea.

Among all that charset-normalizer knows, a short text in cp1252 is as likely as one in cp1250 or cp1257.
"""


def open_text(path: Path, notes: list[str], newline: str | None = None) -> TextIO:
    """Open a text by its byte-order mark, else as UTF-8 if it is that, else by the likeliest of `LEGACY`."""
    encoding = find_encoding(path)
    if encoding != "utf-8-sig":
        notes.append(f"{path.name} is read as {encoding.upper()}")
    return path.open(encoding=encoding, newline=newline)


def find_encoding(path: Path) -> str:
    """Return the encoding of a text file; raise `UnicodeError` if none fits."""
    with path.open("rb") as file:
        start = file.read(2)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if _is_utf8(path):
        return "utf-8-sig"
    likeliest = from_path(path, cp_isolation=LEGACY).best()
    if likeliest is None:
        raise UnicodeError("its encoding is not known")
    return likeliest.encoding


def _is_utf8(path: Path) -> bool:
    """Return whether all of a file is UTF-8, which text in another encoding almost never is."""
    try:
        with path.open(encoding="utf-8-sig") as text:
            for _line in text:
                pass
    except UnicodeDecodeError:
        return False
    return True
