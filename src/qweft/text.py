"""Text for people: numbers of things, and near names for a mistyped one."""

import difflib
from collections.abc import Iterable


def many(count: int, thing: str) -> str:
    """So many things, of a word whose plural ends in s.

    >>> many(1, "circuit"), many(2500, "trained angle")
    ('1 circuit', '2,500 trained angles')
    """
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def near(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known names nearest to a name, the nearest first; empty where none is near.

    Args:
        name: As typed.
        known: The names that exist.
        most: How many are returned at most.
        cutoff: Least similarity, from 0 (any name) to 1 (the same name); `difflib` says how it is counted.

    >>> near("qhta", ["qwthn", "qtha"])
    ['qtha']
    """
    return difflib.get_close_matches(name, list(known), n=most, cutoff=cutoff)
