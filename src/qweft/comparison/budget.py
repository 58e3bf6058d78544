"""`Budget`: the most time and the most trained parameters of a comparison, read from text such as "20min,200k"."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from qweft.errors import QweftError
from qweft.text import shown

UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
"""Seconds of each unit of time."""
FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}
"""Factors of a number of parameters. A small m could be minutes."""
PART = re.compile(r"(?P<number>\d[\d_]*(\.\d+)?)\s*(?P<unit>[A-Za-z]*)(\s+(?P<word>parameters?))?")
LEAST_SECONDS, MOST_SECONDS = 10.0, 30 * 86400.0
MOST_PARAMETERS = 10**12
FORMS = "20min, 2h, '200k parameters', or both as '20min,200k'"


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
    found: dict[str, float] = {}
    for part in [] if text is None else text.split(","):
        name, value = _part(part.strip(), text or "")
        if name in found:
            raise _fault(text, f"it states two limits of {name}")
        found[name] = value
    seconds, parameters = found.get("time"), found.get("parameters")
    if seconds is not None and not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise _fault(text, "a time is from 10 seconds to 30 days")
    if parameters is not None and not 1 <= parameters <= MOST_PARAMETERS:
        raise _fault(text, "a number of parameters is from 1 to 1,000,000M")
    return Budget(seconds, None if parameters is None else int(parameters))


def _part(part: str, text: str) -> tuple[str, float]:
    """Return what one part of the text limits, and its value."""
    match = PART.fullmatch(part)
    if match is None:
        raise _fault(text, f"{shown(part)} is neither a time nor a number of parameters")
    digits, unit, word = match["number"].replace("_", ""), match["unit"], match["word"]
    number = float(digits)
    if unit in ("parameter", "parameters"):
        unit, word = "", unit
    if unit == "m":
        raise _fault(text, f"the m of {shown(part)} may be minutes or millions: write min or M")
    if unit in FACTORS and (unit or word):
        value = float(Decimal(digits) * FACTORS[unit])  # 16.1 * 1000 is 16100.000000000002 in floats
        if math.isfinite(value) and value != math.floor(value):
            raise _fault(text, f"{shown(part)} is no whole number of parameters")
        return "parameters", value
    if unit in UNITS and not word:
        return "time", number * UNITS[unit]
    what = f"{shown(part)} has no unit" if not unit else f"{shown(part)} is neither a time nor a number of parameters"
    raise _fault(text, what)


def _fault(text: str | None, why: str) -> QweftError:
    return QweftError(f"budget {shown(text)}: {why}; give {FORMS}")
