"""The time of a comparison: its budget, how it is told, and whether step times carry a statement on speed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qweft.core.environment import ALONE, share_said
from qweft.core.errors import QweftError
from qweft.core.text import short_repr

if TYPE_CHECKING:  # it imports NumPy, and --help needs none of it
    from qweft.comparison.results import Run

UNITS = {
    "s": ("seconds", 1),
    "min": ("seconds", 60),
    "h": ("seconds", 3600),
    "d": ("seconds", 86400),
    "k": ("parameters", 1_000),
    "M": ("parameters", 1_000_000),
    "parameters": ("parameters", 1),
}
"""What a unit limits, and how much of it. A small m could be minutes."""
PART = re.compile(rf"(?P<number>\d[\d_]*(\.\d+)?)\s*(?P<unit>{'|'.join(UNITS)})(\s+parameters)?")
LEAST_SECONDS = 10


@dataclass(frozen=True)
class Budget:
    """What a comparison may cost."""

    seconds: int | None = None
    parameters: int | None = None


def budget_of(text: str | None) -> Budget:
    """Return the budget in a text: a time, parameters, or both with a comma between ("20min,200k")."""
    limits, parts = dict[str, int](), [] if text is None else text.split(",")
    for match in filter(None, (PART.fullmatch(part.strip()) for part in parts)):
        name, size = UNITS[match["unit"]]
        limits[name] = int(float(match["number"]) * size)
    if len(limits) < len(parts) or limits.get("seconds", LEAST_SECONDS) < LEAST_SECONDS:
        raise QweftError(
            f"budget {short_repr(text)} is neither a time nor a number of parameters, or its time is below "
            f"{LEAST_SECONDS} seconds; give 20min, 2h, '200k parameters', or both as '20min,200k'"
        )
    return Budget(**limits)


def duration(seconds: float) -> str:
    """Return a rough time: "50 s", "3 min" or "1.9 h"."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def most_by_others(runs: "Sequence[Run]") -> float | None:
    """Return the largest share of the processors that others took beside the step times; `None` if one is unknown."""
    shares = [run.cpu_by_others for run in runs if run.step_seconds_median is not None]
    known = [share for share in shares if share is not None]
    return max(known) if known and len(known) == len(shares) else None


def load_said(runs: "Sequence[Run]") -> str:
    """Return a sentence on the machine's load beside the step times of a comparison."""
    most = most_by_others(runs)
    if most is None:
        return "The load of the machine was not recorded, so the step times say nothing about speed."
    beside = f"Other programs used up to {share_said(most)} of the CPU"
    return f"{beside}, so the step times {'can be compared' if most <= ALONE else 'say nothing about speed'}."
