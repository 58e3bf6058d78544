"""What a budget of time came to: the costs that were measured, and the pace, as they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from qweft.comparison.plan import Plan
from qweft.errors import QweftError
from qweft.records import read_record

FILE = "budget.json"
SHORTEST = 1e-9


@dataclass(frozen=True)
class Costs:
    """Seconds of everything in a comparison, as measured."""

    step: dict[str, float]
    beside: dict[str, float]
    validation: float
    test: float
    answers: float

    def on(self, rows: tuple[int, int] | None, whole: tuple[int, int]) -> "Costs":
        """Return the costs where so many of the validation and test rows are judged; `None` means all."""
        validation, test = (kept / max(1, all_of) for kept, all_of in zip(rows or whole, whole, strict=True))
        return replace(self, validation=self.validation * validation, test=self.test * test)

    def run(self, names: Sequence[str], steps: int, judging: float) -> float:
        """Return the mean seconds of a run of these methods."""
        return fmean(self.step[name] * steps + self.beside[name] for name in names) + judging


@dataclass(frozen=True)
class Pace:
    """How a comparison spends its time."""

    steps: int
    rungs: tuple[int, ...]
    rates: int
    seeds: int
    methods: int
    seconds: float
    rows: tuple[int, int] | None = None


WAY = "remove that file and the folders rung-*, and the budget is planned anew"


def read_pace(path: Path, plan: Plan) -> tuple[Pace, Costs, dict[str, Any]]:
    """Return the plan that is kept, the costs that it is made of, and the whole record."""
    record = read_record(path, WAY)
    try:
        told = record["pace"]
        rows = None if told.get("rows") is None else (told["rows"][0], told["rows"][1])
        pace = Pace(**{**told, "rungs": tuple(told["rungs"]), "rows": rows, "seconds": float(told["seconds"])})
        costs = Costs(**record["costs"])
        if not {method.name for method in plan.methods} <= costs.step.keys() & costs.beside.keys():
            raise ValueError("it was made for other methods")
        if min(*costs.step.values(), pace.steps, *pace.rungs) <= 0:
            raise ValueError("a number below 1")
        asked = float(record["seconds"])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise QweftError(f"{path} is damaged, or of another comparison ({str(error)[:200]}); {WAY}") from error
    if asked != plan.budget.seconds:
        raise QweftError(f"{path} has the plan of another budget, {asked:.0f} s; give another --output, or that budget")
    return pace, costs, record
