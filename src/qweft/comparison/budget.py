"""`Budget`: the most time and the most trained parameters of a comparison, read from text such as "20min,200k"."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from qweft.errors import QweftError
from qweft.text import shown

UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
"""Seconds of each unit of time."""
FACTORS = {"k": 1_000, "M": 1_000_000, "parameter": 1, "parameters": 1}
"""Factors of a number of parameters. A small m could be minutes."""
PART = re.compile(r"(?P<number>\d[\d_]*(\.\d+)?)\s*(?P<unit>[A-Za-z]+)(?P<word>\s+parameters?)?")
LEAST_SECONDS = 10


@dataclass(frozen=True)
class Budget:
    """What a comparison may cost."""

    seconds: float | None = None
    parameters: int | None = None


def budget_of(text: str | None) -> Budget:
    """Return the budget that a text states: a time, a number of parameters, or both with a comma between.

    >>> budget_of("20min,200k"), budget_of("1.5M parameters")
    (Budget(seconds=1200.0, parameters=200000), Budget(seconds=None, parameters=1500000))
    """
    limits: dict[str, Any] = {}
    for part in [] if text is None else text.split(","):
        match = PART.fullmatch(part.strip())
        unit = match["unit"] if match else ""
        if match and unit in UNITS and not match["word"]:
            name, value = "seconds", float(Decimal(match["number"]) * UNITS[unit])
        elif match and unit in FACTORS:
            name, value = "parameters", int(Decimal(match["number"]) * FACTORS[unit])
        else:
            raise _fault(text, f"{shown(part.strip())} is neither a time nor a number of parameters")
        if name in limits:
            raise _fault(text, f"it states two limits of {name}")
        limits[name] = value
    if limits.get("seconds", LEAST_SECONDS) < LEAST_SECONDS or limits.get("parameters", 1) < 1:
        raise _fault(text, f"a time is at least {LEAST_SECONDS} seconds, a number of parameters at least 1")
    return Budget(**limits)


def _fault(text: str | None, why: str) -> QweftError:
    return QweftError(f"budget {shown(text)}: {why}; give 20min, 2h, '200k parameters', or both as '20min,200k'")
