"""Plain text files as rows, read piece by piece."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

STRETCH = 8000
"""Characters of a row, about: some thousand tokens, which are cut into rows of the wanted length later."""
CHUNK = 1 << 16
"""Characters that are read at a time, so that a file without line ends is no problem either."""


def stretches(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a text file as rows of `text`, each about 8,000 characters that end with a paragraph, a line or a word.

    The file is never in memory as a whole. Each stretch is a group of its own: a split puts it on one side.

    Args:
        path: A file of UTF-8.
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
    """Where the first stretch of a long text ends: after the last paragraph, line, sentence or word that fits."""
    for mark in ("\n\n", "\n", "。", ". ", " "):
        place = text.rfind(mark, STRETCH // 2, STRETCH)
        if place >= 0:
            return place + len(mark)
    return STRETCH
