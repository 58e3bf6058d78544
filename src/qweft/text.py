"""Text helpers: counts with a plural, and suggestions for mistyped names."""

import difflib
from collections.abc import Iterable


def many(count: int, thing: str) -> str:
    """Return a count with its noun; the plural adds an s.

    >>> many(1, "circuit"), many(2500, "trained angle")
    ('1 circuit', '2,500 trained angles')
    """
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def near(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known names most similar to a name, best first; empty if none is similar enough.

    Args:
        name: As typed.
        known: Valid names.
        most: Maximum number of names returned.
        cutoff: Minimum similarity, from 0 (any name) to 1 (equal names): the ratio of `difflib.SequenceMatcher`.

    >>> near("qhta", ["qwthn", "qtha"])
    ['qtha']
    """
    return difflib.get_close_matches(name, list(known), n=most, cutoff=cutoff)
