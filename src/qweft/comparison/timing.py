"""The time of a comparison: its budget, how it is told, and whether step times carry a statement on speed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from qweft.environment import ALONE, share_said
from qweft.errors import QweftError
from qweft.text import shown

if TYPE_CHECKING:  # it imports NumPy, and --help needs none of it
    from qweft.comparison.results import Run

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
    """Return the budget in a text: a time, parameters, or both with a comma between ("20min,200k")."""
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


def duration(seconds: float) -> str:
    """Return a rough time: "50 s", "3 min" or "1.9 h"."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def one_at_a_time(runs: "Sequence[Run]") -> bool:
    """Whether no two runs overlapped in time."""
    times = ((datetime.fromisoformat(run.started), run.seconds) for run in runs if run.started and run.seconds)
    spans = sorted((begun.timestamp(), taken) for begun, taken in times)
    ends = accumulate((begun + taken - 1 for begun, taken in spans), max)
    return all(begun >= end for (begun, _), end in zip(spans[1:], ends, strict=False))


def most_by_others(runs: "Sequence[Run]") -> float | None:
    """Return the largest share of the processors that others took beside the step times; `None` if one is unknown."""
    shares = [run.cpu_by_others for run in runs if run.step_seconds_median is not None]
    known = [share for share in shares if share is not None]
    return max(known) if known and len(known) == len(shares) else None


def measured_alone(runs: "Sequence[Run]") -> bool | None:
    """Return whether the step times were measured alone; `None` if the load was not recorded."""
    if not one_at_a_time(runs) or any((run.cpu_by_others or 0) > ALONE for run in runs):
        return False
    return None if most_by_others(runs) is None else True


def load_said(runs: "Sequence[Run]") -> str:
    """Return a sentence on the machine's load beside the step times of a comparison."""
    alone = measured_alone(runs)
    if alone is None:
        return "The load of the machine was not recorded, so the step times say nothing about speed."
    beside = f"Other programs used up to {share_said(max(run.cpu_by_others or 0 for run in runs))} of the CPU"
    beside = beside if one_at_a_time(runs) else "Several runs shared the machine"
    return f"{beside}, so the step times {'can be compared' if alone else 'say nothing about speed'}."
