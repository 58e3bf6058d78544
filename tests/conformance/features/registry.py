"""The features, in the order of the table."""

from collections.abc import Callable
from pathlib import Path

from tests.conformance.case import Case, Refused

Check = Callable[[Case, Path], Refused | None]
FEATURES: dict[str, Check] = {}
"""Name in the table to check. A check returns nothing where the feature works, `Refused` where the method refuses it as
documented, raises `NotApplicable` where the family has no such thing, and fails in any other way."""


def feature(name: str) -> Callable[[Check], Check]:
    """Register a check under its name in the table."""

    def register(check: Check) -> Check:
        assert name not in FEATURES, f"two features are called {name!r}"
        FEATURES[name] = check
        return check

    return register
