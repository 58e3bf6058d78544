"""Removal of credentials from what is printed or written to the ledger."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

NAMES = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|(?<![A-Z])(?:PWD?|PAT|CREDS?)(?![A-Z])")
"""Meets names of environment variables and settings that may hold a credential."""
SHORTEST = 6
"""Minimum length of a credential. Shorter values occur in too many ordinary words."""
REMOVED = "[credential removed]"
SAVED: list[Callable[[], Iterable[str]]] = []
"""Return saved credentials. The registry, which stands above this module, adds its question to all families."""

SHOWN = re.compile(
    r"""(?ix)
    ( (?: api[-_ ]?key | token | bearer | basic | authorization | secret | password )
      (?= ["'\s:=] ) ["']? \s{0,99}+ [:=]? \s{0,99}+ ["']? (?: (?:bearer|basic|apikey) \s{1,99}+ )? (?: \w{1,99}= )? )
    (?! qweft- )                              # the token of a job is no credential
    (?= [\w.~+/=-]{0,299} \d ) [\w.~+/=-]{16,}      # a word without a digit is a word
    | \b (?: hf_ | gh[opsru]_ | github_pat_ | sk- | AKIA ) (?= [\w-]{0,299} \d ) [\w-]{16,}    # with a known beginning
    | (?<! [\w-] ) eyJ [\w-]{8,}+ \. [\w-]+ (?: \. [\w-]+ )?    # a signed token, wherever it stands
    """
)
"""Matches a long word with a digit after a credential's label, tokens with a known beginning, and signed tokens."""


def names_credential(name: str) -> bool:
    """Whether a variable or setting with this name may hold a credential."""
    return name != "PWD" and NAMES.search(name.upper()) is not None


def without_secrets(text: str, more: Iterable[str] = ()) -> str:
    """Return the text with every credential replaced, in any case, also escaped and URL-encoded, and each of its lines.

    Credentials are values of environment variables whose names say so, those that the families of devices have saved,
    those in `more`, and anything that looks like one.
    """
    found = {value for name, value in os.environ.items() if names_credential(name) and not _is_path(value)}
    found.update(*(saved() for saved in SAVED), more)
    forms = {form for value in found if len(value.strip()) >= SHORTEST for form in _forms_of(value.strip())}
    if forms:  # longest first: one may contain another
        either = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
        text = re.sub(either, REMOVED, text, flags=re.IGNORECASE)
    return SHOWN.sub(lambda match: (match[1] or "") + REMOVED, text)


def _forms_of(secret: str) -> Iterator[str]:
    yield from (secret, json.dumps(secret)[1:-1], quote(secret.encode(errors="surrogateescape"), safe=""))
    yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= 2 * SHORTEST)


def _is_path(value: str) -> bool:
    return value.startswith(("/", "~", ".")) and os.path.exists(os.path.expanduser(value.partition(os.pathsep)[0]))
