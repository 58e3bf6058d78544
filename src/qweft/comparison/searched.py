"""`Search`, one method's search in results.json, and what the searches say beside the claims of a comparison."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from qweft.comparison.phrases import Finding
from qweft.comparison.rates import (
    ONE_SEED,
    Losses,
    Shortfall,
    best_tried,
    is_at_end,
    means,
    optimum,
    parabola,
    shortfall,
)
from qweft.comparison.results import number
from qweft.text import many

NAMED = 3
"""Largest number of pairs that a sentence lists by name."""
SLACK = 1.01
"""A chosen rate has three digits, so it may lie this factor outside of those that were tried."""


@dataclass(frozen=True)
class Search:
    """One method's search."""

    method: str
    best: float
    by_seed: Losses

    @cached_property
    def losses(self) -> dict[float, float]:
        """Mean validation loss by rate, ascending; infinite where the training diverged."""
        return means(self.by_seed)

    @property
    def loss(self) -> float | None:
        """Mean validation loss at the chosen rate, by the parabola if it was not tried; `None` if it diverged."""
        curve = parabola(self.by_seed)
        loss = self.losses.get(self.best) if self.best in self.losses or curve is None else curve.at(self.best)
        return loss if loss is not None and math.isfinite(loss) else None

    @property
    def at_end(self) -> bool:
        """Whether the best rate is the lowest or highest that was tried, so that a better one may lie beyond."""
        return is_at_end(self.by_seed)

    @cached_property
    def shortfall(self) -> Shortfall:
        """How much worse the loss at the chosen rate may be than at the optimum."""
        return shortfall(self.by_seed, self.best)

    def to_json(self) -> dict[str, Any]:
        """Return what results.json holds of it; rates with all digits, as they may differ in the last one."""
        return {
            "best": self.best,
            "at_end_of_grid": self.at_end,
            "validation_loss": {repr(rate): loss for rate, loss in self.losses.items()},
            "by_seed": {repr(rate): list(self.by_seed[rate]) for rate in self.losses},
            "shortfall": {
                "nats": self.shortfall.nats, "percent": self.shortfall.percent, "reason": self.shortfall.reason
            },
        }  # fmt: skip


def search_of(method: str, by_seed: Losses, is_grid: bool) -> Search:
    """Return a finished search: of a grid the best rate is chosen, else the vertex of the parabola."""
    return Search(method, best_tried(by_seed) if is_grid else optimum(by_seed), by_seed)


def searches(record: Mapping[str, Any] | None) -> list[Search]:
    """Return the searches in results.json; empty without a search."""
    found = []
    for method, entry in (record or {}).items():
        single = {rate: [loss] for rate, loss in entry["validation_loss"].items()}
        losses = {
            float(rate): tuple(_loss(loss) for loss in seeds) for rate, seeds in entry.get("by_seed", single).items()
        }
        if losses:  # empty if the rate was given, or is another method's
            seeds = {len(each) for each in losses.values()}
            if len(seeds) > 1 or 0 in seeds or not all(0 < rate < math.inf for rate in losses):
                raise ValueError(f"search.{method} is not a loss at each seed for each learning rate")
            best = float(entry["best"])
            if not min(losses) / SLACK <= best <= max(losses) * SLACK:
                raise ValueError(f"search.{method}.best is {best:g}, which lies outside of the rates that were tried")
            found.append(Search(method, best, dict(sorted(losses.items()))))
    return found


def _loss(value: float | None) -> float:
    loss = number(value)
    return loss if math.isfinite(loss) else math.inf


def doubt(finding: Finding, found: Mapping[str, Search]) -> str:
    """Return what the searches of two methods leave open of a claim about them; empty if nothing."""
    named = _those_that_count(finding) if found else []
    for name in named:
        if name not in found:
            return f"How far the rate of {name} is from its optimum is not known: it was not searched."
    pair = [found[name] for name in named]
    for each in pair:
        if each.shortfall.percent is None:
            return f"How far the rate of {each.method} is from its optimum is not known: {each.shortfall.reason}."
    # a room is in percent of the other method's loss, a shortfall in percent of its own method's
    scale = 1 + (finding.difference or 0.0) / 100 if finding.direction == "higher" else 1.0
    if not pair or scale * sum(each.shortfall.percent or 0.0 for each in pair) <= (finding.room or 0.0):
        return ""
    said = " and ".join(f"{each.method} {each.shortfall.said}" for each in pair)
    to = "the margin" if finding.direction == "equivalent" else "zero"
    what = f"this interval leaves to {to} ({finding.room:.2f}%)"
    if len(pair) == 1:
        return f"The learning rate may cost {said}, more than {what}."
    return f"The learning rates may cost {said}, together more than {what}."


def _those_that_count(finding: Finding) -> list[str]:
    """Return the methods whose shortfall could undo a claim; empty if the finding is none."""
    if finding.direction not in ("lower", "higher", "equivalent") or not finding.other or finding.room is None:
        return []
    better = {"lower": finding.method, "higher": finding.other}.get(finding.direction)
    return [name for name in (finding.method, finding.other) if name != better]


def with_doubts(
    findings: Sequence[Finding], searched: Sequence[Search], claims: Sequence[Finding] = ()
) -> tuple[list[Finding], str]:
    """Return the findings, each with its `doubt`, and what there is to say of all of them, empty without a doubt."""
    found = {each.method: each for each in searched}
    doubts = [doubt(finding, found) for finding in findings]
    made = [
        replace(finding, text=f"{finding.text} {said}") if said else finding
        for finding, said in zip(findings, doubts, strict=True)
    ]
    pairs: dict[frozenset[str], str] = {}
    for each, said in zip([*findings, *claims], [*doubts, *(doubt(claim, found) for claim in claims)], strict=True):
        if said:
            pairs.setdefault(frozenset((each.method, each.other)), f"{each.method} and {each.other}")
    lines = []
    if pairs:
        told = ", ".join(pairs.values()) if len(pairs) <= NAMED else many(len(pairs), "pair")
        lines.append(f"The learning rates may decide what is claimed of {told}: the searches do not rule it out.")
    counted = [found[name] for each in (*findings, *claims) for name in _those_that_count(each) if name in found]
    if any(search.shortfall.reason == ONE_SEED for search in counted):
        lines.append("What the searches may have missed by the chance of their seeds is not known.")
    return made, " ".join(lines)
