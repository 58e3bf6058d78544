"""Text for people: plurals, near names, and text that cannot control a terminal."""

import difflib
import fnmatch
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, marks that reverse the direction of text, and lone surrogates."""
MARKDOWN = re.compile(r"([\\`*_\[\]<>#|])")
"""Characters that Markdown may take for markup."""
MOST_LISTED = 4
"""Names that a sentence lists in full."""


def strip_controls(text: str) -> str:
    """Return a text without characters that control a terminal; a lone surrogate becomes U+FFFD."""

    def replacement(match: re.Match[str]) -> str:
        is_surrogate = "\ud800" <= match[0] <= "\udfff"
        return "\ufffd" if is_surrogate else ""

    return CONTROLS.sub(replacement, text)


def escape_markdown(text: str) -> str:
    """Return text of models, data or the configuration on one line of Markdown, as text and never as markup."""
    without_markup = MARKDOWN.sub(r"\\\1", text)
    return " ".join(strip_controls(without_markup).split())


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, with characters that control a terminal as escapes and all others as they are."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def many(count: int, noun: str) -> str:
    """Return a count with its noun: "1 circuit", "2,500 circuits"."""
    plural = "" if count == 1 else "s"
    return f"{count:,} {noun}{plural}"


def join_names(names: Sequence[str]) -> str:
    """Return names joined as a sentence has them: "a, b and c"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def join_few(names: Iterable[str]) -> str:
    """Join names for a sentence; more than four are shortened to the first three, the last and the count."""
    listed = list(names)
    if len(listed) > MOST_LISTED:
        listed = [*listed[: MOST_LISTED - 1], f"... {listed[-1]} ({len(listed)} in all)"]
    return ", ".join(listed)


def matching_names(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that match a pattern: a full name, its end after a dot, or either with * and ?."""

    def matches(name: str) -> bool:
        return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"*.{pattern}")

    return [name for name in names if matches(name)]


def nearest_name(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the one of the known names that is most similar to a name; `None` if none is."""
    # a name of megabytes would be compared for minutes
    matches = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def short_repr(value: Any) -> str:
    """Return the repr of a value, cut to 120 characters."""
    return shorten(repr(value), 120)


def shorten(text: str, most: int = 500) -> str:
    """Return a text, cut to some characters: a stranger's record may hold millions."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
