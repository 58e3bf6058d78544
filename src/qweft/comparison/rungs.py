"""`Rung`: one round of a successive halving, and how the methods stand after it."""

from dataclasses import dataclass
from typing import Any

from qweft.text import many


@dataclass(frozen=True)
class Standing:
    """One method after a rung."""

    method: str
    adapter: dict[str, Any]
    rate: float
    loss: float | None
    behind: float | None = None
    bound: float | None = None
    goes_on: bool = False


@dataclass(frozen=True)
class Rung:
    """One round of runs."""

    number: int
    steps: int
    seeds: tuple[int, ...]
    standings: tuple[Standing, ...]

    @property
    def leader(self) -> str:
        """Name of the method with the lowest loss."""
        return self.standings[0].method

    @property
    def going_on(self) -> list[str]:
        """Names of the methods that go on."""
        return [each.method for each in self.standings if each.goes_on]

    def said(self, rungs: int) -> str:
        """Return a line on it."""
        stopped = [each for each in self.standings if not each.goes_on]
        told = f"rung {self.number} of {rungs}, {many(self.steps, 'step')}: {self.leader} leads"
        told += f", {many(len(self.going_on), 'method')} {'goes' if len(self.going_on) == 1 else 'go'} on"
        return f"{told}; stopped: {', '.join(map(_stopped_said, stopped))}" if stopped else told


def _stopped_said(each: Standing) -> str:
    if each.behind is None:
        return f"{each.method} (diverged)"
    sure = each.bound is not None and each.bound > 0
    return f"{each.method} ({each.behind:+.1f}%{', beyond the chance of the rows' if sure else ''})"
