"""Layers named by a user: whole names, their ends, or patterns."""

import fnmatch
from collections.abc import Iterable


def met_by(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern meets: a whole name, its end after a dot, or either with * and ?."""
    return [name for name in names if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"*.{pattern}")]


def some(names: Iterable[str]) -> str:
    """The names for a sentence, the middle ones left out where there are more than four."""
    found = list(names)
    return ", ".join(found if len(found) <= 4 else [*found[:3], f"... {found[-1]} ({len(found)} in all)"])
