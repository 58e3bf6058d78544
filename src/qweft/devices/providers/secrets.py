"""Credentials are taken out of what other packages say, before anybody reads or keeps it."""

import os
from collections.abc import Iterable

MARKS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
"""An environment variable with one of these in its name may hold a credential."""
SHORTEST = 6
"""Shorter values are no credentials, and stand in too many words."""
REMOVED = "[credential removed]"


def without_secrets(text: str, more: Iterable[str] = ()) -> str:
    """The text with every credential in it replaced.

    Credentials are the values of environment variables whose name says so, and those given.

    Args:
        text: What a package said.
        more: Credentials from elsewhere: a provider's own store.
    """
    found = {value for name, value in os.environ.items() if any(mark in name.upper() for mark in MARKS)}
    found.update(more)
    for value in sorted(found, key=len, reverse=True):  # one may be part of another
        if len(value.strip()) >= SHORTEST:
            text = text.replace(value.strip(), REMOVED)
    return text


def one_line(error: BaseException, more: Iterable[str] = ()) -> str:
    """What an exception says, on one line and without credentials; its type where it says nothing."""
    return " ".join(without_secrets(str(error), more).split()) or type(error).__name__
