"""Turn errors of other packages into ours, on one line and without credentials."""

import os
import re
from collections.abc import Callable, Iterable
from enum import Enum

from qweft.devices.device import DeviceError, NotTakenError, RefusedError, UnavailableError

MARKS = ("KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH")
"""Parts of names of environment variables and settings that may hold a credential."""
SHORTEST = 6
"""Minimum length of a credential. Shorter values occur in too many ordinary words."""
REMOVED = "[credential removed]"
SAVED: list[Callable[[], Iterable[str]]] = []
"""Return saved credentials. The registry, which stands above this module, adds its question to all families."""

SHOWN = re.compile(
    r"""(?ix)
    ( (?: api[-_ ]?key | token | bearer | basic | authorization | secret | password )
      ["']? \s* [:=]? \s* ["']? (?: (?:bearer|basic|apikey) \s+ )? (?: \w+= )? )
    (?! qweft- )                              # the token of a job is no credential
    (?= [\w.~+/=-]* \d ) [\w.~+/=-]{16,}      # a word without a digit is a word
    | \b eyJ [\w-]{8,} \. [\w-]+ (?: \. [\w-]+ )?    # a signed token, wherever it stands
    """
)
"""Matches a long word with a digit after a credential's label in a header, URL or message, and any signed token."""


class Fate(Enum):
    """Outcome of a request to a provider."""

    REFUSED = "not done, and asking again changes nothing"
    LATER = "not done, for certain, and it may be asked again"
    UNKNOWN = "nobody knows"


class Step(Enum):
    """Stage of a request. Only while a job is sent can it be accepted without our knowledge."""

    ASKING = "a question, which changes nothing at the provider"
    PREPARING = "a job is made and has not left this machine"
    SENDING = "a job is sent"


def error_of(fate: Fate, step: Step, sentence: str) -> DeviceError:
    """Return the `DeviceError` that tells the ledger whether the job may be sent again."""
    if fate is Fate.REFUSED:
        return RefusedError(sentence)
    if step is Step.PREPARING or (step is Step.SENDING and fate is Fate.LATER):
        return NotTakenError(sentence)
    return UnavailableError(sentence)


def names_credential(name: str) -> bool:
    """Whether a variable or setting with this name may hold a credential."""
    return any(mark in name.upper() for mark in MARKS)


def without_secrets(text: str, more: Iterable[str] = ()) -> str:
    """Return the text with every credential replaced.

    Credentials are values of environment variables whose names contain one of `MARKS`, those that the families of
    devices have saved, those in `more`, and anything that looks like one.

    Args:
        text: A message of another package.
        more: Further credentials.
    """
    found = {value for name, value in os.environ.items() if names_credential(name)}
    found.update(*(saved() for saved in SAVED), more)
    for value in sorted(found, key=len, reverse=True):  # longest first: one may contain another
        if len(value.strip()) >= SHORTEST:
            text = text.replace(value.strip(), REMOVED)
    return SHOWN.sub(lambda match: (match[1] or "") + REMOVED, text)


def one_line(error: BaseException, more: Iterable[str] = ()) -> str:
    """Return an exception's message on one line without credentials, or its type if the message is empty."""
    return " ".join(without_secrets(str(error), more).split()) or type(error).__name__
