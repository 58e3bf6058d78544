"""The features, in the order of the table."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from tests.conformance.case import Case, Refused

Check = Callable[[Case, Path], Refused | None]
FEATURES: dict[str, Check] = {}
"""Name in the table to check. A check returns nothing where the feature works, `Refused` where the method refuses it as
documented, raises `NotApplicable` where the family has no such thing, and fails in any other way."""


def feature(name: str, dtype: torch.dtype = torch.float32) -> Callable[[Check], Check]:
    """Register a check under its name in the table.

    In float64 are those that compute one result in two ways: random weights make so much of float32's last digits,
    which are the processor's choice, that no bound would tell them from a mistake.
    """

    def register(check: Check) -> Check:
        assert name not in FEATURES, f"two features are called {name!r}"
        FEATURES[name] = lambda case, folder: check(replace(case, dtype=dtype), folder)
        return check

    return register
