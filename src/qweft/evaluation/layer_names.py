"""Names of layers: patterns that match them, and lists of them in sentences."""

import fnmatch
from collections.abc import Iterable


def met_by(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that match a pattern: a full name, its end after a dot, or either with * and ?."""
    return [name for name in names if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"*.{pattern}")]


def some(names: Iterable[str]) -> str:
    """Join names for a sentence; more than four are shortened to the first three, the last and the count."""
    found = list(names)
    return ", ".join(found if len(found) <= 4 else [*found[:3], f"... {found[-1]} ({len(found)} in all)"])
