"""`Search`, one method's search in results.json, and what the searches say beside the claims of a comparison."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from qweft.comparison.judge.rates import Losses, Shortfall, is_at_end, means, parabola, shortfall
from qweft.comparison.judge.verdicts import Verdict

UNSEARCHED = Shortfall(None, None, "it was not searched")


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
    costs = {name: found[name].shortfall if name in found else UNSEARCHED for name in names}
    for name, cost in costs.items():
        if cost.percent is None:
            return f"How far the rate of {name} is from its optimum is not known: {cost.reason}."
    # a room is in percent of the other method's loss, a shortfall in percent of its own method's
    scale = 1 + (verdict.pairing.mean or 0.0) / 100 if verdict.direction == "higher" else 1.0
    if scale * sum(cost.percent or 0.0 for cost in costs.values()) <= verdict.pairing.room:
        return ""
    parts = " and ".join(f"{name} {cost.said}" for name, cost in costs.items())
    return f"Learning rates may cost {parts}, more than the {verdict.pairing.room:.2f}% that this interval leaves."


def with_doubts(verdicts: Sequence[Verdict], searched: Sequence[Search]) -> list[Verdict]:
    """Return the verdicts, each with the doubt of its learning rates."""
    found = {each.method: each for each in searched}
    return [replace(each, doubt=doubt(each, found)) for each in verdicts]


def doubts_said(verdicts: Sequence[Verdict]) -> str:
    """Return the sentence on the verdicts that better learning rates could change; empty without any."""
    pairs = dict.fromkeys(f"{each.method} and {each.other}" for each in verdicts if each.doubt)
    return f"Better-tuned learning rates could change the answer on {', '.join(pairs)}." if pairs else ""
