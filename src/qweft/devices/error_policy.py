"""What an error of another package becomes: one of ours, in one line and without credentials."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from qweft.devices.device import DeviceError, NotTakenError, RefusedError, UnavailableError
from qweft.internals.providers import settings_in


class Fate(Enum):
    """What became of a request."""

    REFUSED = "not done, and asking again changes nothing"
    LATER = "not done, for certain, and it may be asked again"
    UNKNOWN = "nobody knows"


class Step(Enum):
    """What was being done; only a job that is being sent can be taken without our knowing it."""

    ASKING = "a question, which changes nothing at the provider"
    PREPARING = "a job is made and has not left this machine"
    SENDING = "a job is sent"


def error_of(fate: Fate, step: Step, sentence: str) -> DeviceError:
    """Our error, of the kind that tells the ledger whether the job may be sent again."""
    if fate is Fate.REFUSED:
        return RefusedError(sentence)
    if step is Step.PREPARING or (step is Step.SENDING and fate is Fate.LATER):
        return NotTakenError(sentence)
    return UnavailableError(sentence)


MARKS = ("KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH")
"""An environment variable, or a key of a package's settings, with one of these in its name may hold a credential."""
SHORTEST = 6
"""Shorter values are no credentials, and stand in too many words."""
REMOVED = "[credential removed]"

SHOWN = re.compile(
    r"""(?ix)
    ( (?: api[-_ ]?key | token | bearer | basic | authorization | secret | password )
      ["']? \s* [:=]? \s* ["']? (?: (?:bearer|basic|apikey) \s+ )? (?: \w+= )? )
    (?! qweft- )                              # the token of a job is no credential
    (?= [\w.~+/=-]* \d ) [\w.~+/=-]{16,}      # a word without a digit is a word
    | \b eyJ [\w-]{8,} \. [\w-]+ (?: \. [\w-]+ )?    # a signed token, wherever it stands
    """
)
"""A long word behind one that says what it is: of a header, an address, a message."""


def names_credential(name: str) -> bool:
    """Whether what is kept under this name may be a credential."""
    return any(mark in name.upper() for mark in MARKS)


def without_secrets(text: str, more: Iterable[str] = ()) -> str:
    """The text with every credential in it replaced.

    Credentials are the values of environment variables whose name says so, those that PennyLane's settings and IBM's
    store hold, those given, and what looks like one.

    Args:
        text: What a package said.
        more: Credentials from elsewhere.
    """
    found = {value for name, value in os.environ.items() if names_credential(name)}
    found.update(_of_pennylane(), _of_ibm(), more)
    for value in sorted(found, key=len, reverse=True):  # one may be part of another
        if len(value.strip()) >= SHORTEST:
            text = text.replace(value.strip(), REMOVED)
    return SHOWN.sub(lambda match: (match[1] or "") + REMOVED, text)


def one_line(error: BaseException, more: Iterable[str] = ()) -> str:
    """What an exception says, on one line and without credentials; its type where it says nothing."""
    return " ".join(without_secrets(str(error), more).split()) or type(error).__name__


def settings_of_pennylane() -> dict[str, Any]:
    """What PennyLane read from its configuration file; nothing where PennyLane was not imported."""
    return settings_in(getattr(sys.modules.get("pennylane"), "default_config", None))


def _of_pennylane() -> Iterator[str]:
    yield from _kept(settings_of_pennylane())


def _kept(settings: dict[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _kept(value)
        elif isinstance(value, str) and names_credential(name):
            yield value


def _of_ibm() -> list[str]:
    try:
        accounts = sys.modules["qiskit_ibm_runtime"].QiskitRuntimeService.saved_accounts().values()
        return [str(account["token"]) for account in accounts if account.get("token")]
    except Exception:  # the package is not there, or its store is not as it should be
        return []
