"""`Search`, one method's search in results.json, and what the searches say beside the claims of a comparison."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from qweft.comparison.rates import Losses, Shortfall, is_at_end, means, parabola, shortfall
from qweft.comparison.verdicts import Verdict
from qweft.text import many

NAMED = 3
"""Largest number of pairs that a sentence lists by name."""


@dataclass(frozen=True)
class Search:
    """One method's search; `best` is the rate that it chose."""

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
            "shortfall": asdict(self.shortfall),
        }


def searches(record: Mapping[str, Any] | None) -> list[Search]:
    """Return the searches in results.json; empty without a search."""
    found = []
    for method, entry in (record or {}).items():
        single = {rate: [loss] for rate, loss in entry["validation_loss"].items()}
        losses = {
            float(rate): tuple(math.inf if loss is None else float(loss) for loss in seeds)
            for rate, seeds in entry.get("by_seed", single).items()
        }
        if losses:  # empty if the rate was given, or is another method's
            found.append(Search(method, float(entry["best"]), dict(sorted(losses.items()))))
    return found


def doubt(verdict: Verdict, found: Mapping[str, Search]) -> str:
    """Return what the rates leave open of a claim: an unknown shortfall, or one above its room; empty if nothing."""
    if not found or verdict.pairing.room is None:
        return ""
    # a better rate of the better method makes a difference larger; of an equivalence both shortfalls count
    better = {"lower": verdict.method, "higher": verdict.other}.get(verdict.direction)
    names = [name for name in (verdict.method, verdict.other) if name != better]
    for name in names:
        reason = found[name].shortfall.reason if name in found else "it was not searched"
        if name not in found or found[name].shortfall.percent is None:
            return f"How far the rate of {name} is from its optimum is not known: {reason}."
    pair = [found[name] for name in names]
    # a room is in percent of the other method's loss, a shortfall in percent of its own method's
    scale = 1 + (verdict.pairing.mean or 0.0) / 100 if verdict.direction == "higher" else 1.0
    if scale * sum(each.shortfall.percent or 0.0 for each in pair) <= verdict.pairing.room:
        return ""
    costs = " and ".join(f"{each.method} {each.shortfall.said}" for each in pair)
    to = "the margin" if verdict.direction == "equivalent" else "zero"
    rates, together = ("rate", "") if len(pair) == 1 else ("rates", "together ")
    limit = f"{together}more than this interval leaves to {to} ({verdict.pairing.room:.2f}%)"
    return f"The learning {rates} may cost {costs}, {limit}."


def with_doubts(verdicts: Sequence[Verdict], searched: Sequence[Search]) -> list[Verdict]:
    """Return the verdicts, each with the doubt of its learning rates."""
    found = {each.method: each for each in searched}
    return [replace(each, doubt=doubt(each, found)) for each in verdicts]


def doubts_said(verdicts: Sequence[Verdict]) -> str:
    """Return the sentence on the verdicts that better learning rates could change; empty without any."""
    pairs = list({frozenset((each.method, each.other)): each for each in verdicts if each.doubt}.values())
    names = ", ".join(f"{each.method} and {each.other}" for each in pairs)
    names = names if len(pairs) <= NAMED else many(len(pairs), "pair")
    return f"Better-tuned learning rates could change the answer on {names}." if pairs else ""
