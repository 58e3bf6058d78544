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
        loss = self.losses.get(self.best)
        if loss is None:
            curve = parabola(self.by_seed)
            loss = None if curve is None else curve.loss_at(self.best)
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


def read_searches(record: Mapping[str, Any] | None) -> list[Search]:
    """Return the searches in results.json; empty without a search."""
    searches = []
    for method, entry in (record or {}).items():
        losses = _read_losses(entry)
        if losses:  # empty if the rate was given, or is another method's
            searches.append(Search(method, float(entry["best"]), dict(sorted(losses.items()))))
    return searches


def _read_losses(entry: Mapping[str, Any]) -> dict[float, tuple[float, ...]]:
    """Return the losses at each seed by rate; records of one seed have the mean alone."""
    by_seed = entry.get("by_seed")
    if by_seed is None:
        by_seed = {rate: [loss] for rate, loss in entry["validation_loss"].items()}
    losses = {}
    for rate, seeds in by_seed.items():
        losses[float(rate)] = tuple(math.inf if loss is None else float(loss) for loss in seeds)
    return losses


def describe_doubt(verdict: Verdict, searches: Mapping[str, Search]) -> str:
    """Return what the rates leave open of a claim: an unknown shortfall, or one above its room; empty if nothing."""
    room = verdict.pairing.room
    if not searches or room is None:
        return ""
    # A better rate of the better method makes a difference larger. Of an equivalence both shortfalls count.
    better = {"lower": verdict.method, "higher": verdict.other}.get(verdict.direction)
    shortfalls: dict[str, Shortfall] = {}
    for name in (verdict.method, verdict.other):
        if name != better:
            shortfalls[name] = searches[name].shortfall if name in searches else UNSEARCHED
    total = 0.0
    for name, shortfall_of_rate in shortfalls.items():
        if shortfall_of_rate.percent is None:
            return f"How far the rate of {name} is from its optimum is not known: {shortfall_of_rate.reason}."
        total += shortfall_of_rate.percent
    # A room is in percent of the other method's loss, a shortfall in percent of its own method's.
    if verdict.direction == "higher":
        total *= 1 + (verdict.pairing.mean or 0.0) / 100
    if total <= room:
        return ""
    costs = " and ".join(f"{name} {shortfall_of_rate.text}" for name, shortfall_of_rate in shortfalls.items())
    return f"Learning rates may cost {costs}, more than the {room:.2f}% that this interval leaves."


def with_doubts(verdicts: Sequence[Verdict], searches: Sequence[Search]) -> list[Verdict]:
    """Return the verdicts, each with the doubt of its learning rates."""
    by_method = {search.method: search for search in searches}
    return [replace(verdict, doubt=describe_doubt(verdict, by_method)) for verdict in verdicts]


def describe_doubts(verdicts: Sequence[Verdict]) -> str:
    """Return the sentence on the verdicts that better learning rates could change; empty without any."""
    pairs = dict.fromkeys(f"{verdict.method} and {verdict.other}" for verdict in verdicts if verdict.doubt)
    return f"Better-tuned learning rates could change the answer on {', '.join(pairs)}." if pairs else ""
