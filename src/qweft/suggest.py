"""Near names: what the user of a mistyped name most likely meant."""

import difflib
from collections.abc import Iterable


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
