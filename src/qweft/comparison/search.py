"""The search for each method's learning rate, on the validation rows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rich.table import Table

from qweft.comparison.bench import Bench
from qweft.comparison.claims import done_by_any
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import Method
from qweft.comparison.trial import run_trial
from qweft.training.loop import steps_of

EXTENSIONS = 3
"""So often the grid grows beyond an end at which the best rate lies."""


def search(bench: Bench, methods: Sequence[Method], kept: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Train methods at every rate, judge on the validation rows, choose the lowest loss.

    The test rows are not looked at. Where the best rate lies at an end of the grid, the grid grows beyond it by its own
    ratio, up to three times, so that a method is not held back by the grid. Finished runs are kept and not repeated;
    several processes with one output share them.

    Args:
        bench: What the runs share; its output is the search's own folder.
        methods: Those whose rate is looked for.
        kept: Is given all that is found so far, whenever a method is finished.

    Returns:
        {method: {"best", "at_end_of_grid", "validation_loss": {rate: loss}, "steps", "seeds", "trainable_parameters"}};
        the loss of a rate at which the training diverged is infinite.
    """
    config = bench.config
    judging = replace(config.evaluation, split="validation", answers=0, forgetting=None)
    bench = replace(bench, config=replace(config, evaluation=judging, inspect=False))
    rates = sorted({float(rate) for rate in config.rates})
    searches = [Search(bench, _shortened(bench, method), rates) for method in methods]
    found: dict[int, dict[str, Any]] = {}
    for place, entry in done_by_any([each.advance for each in searches], bench.executor.wait):
        found[place] = entry
        kept({methods[at].name: found[at] for at in sorted(found)})
    return {methods[at].name: found[at] for at in sorted(found)}


def searched(config: ComparisonConfig, methods: Sequence[Method]) -> list[Method]:
    """The methods whose rate a comparison with `search` looks for: those that have none, and take over none."""
    asked = {name for name, method in config.methods.items() if method.learning_rate is None and method.rate_of is None}
    return [method for method in methods if method.name in asked]


def _shortened(bench: Bench, method: Method) -> Method:
    """The method with the steps of the search: more or fewer by the same ratio where `match_time` gave it its own."""
    whole = steps_of(bench.config.training, len(bench.data.train))
    own = whole if method.steps is None else method.steps
    wanted = bench.config.search_steps
    return replace(method, steps=own if wanted is None else max(1, round(wanted * own / whole)))


@dataclass
class Search:
    """One method's way through the rates.

    Args:
        bench: What the runs share.
        method: The method, with the steps of the search.
        rates: The grid, rising.
        losses: Validation loss by rate, as far as it is known.
        beyond: The rates by which the grid has grown.
    """

    bench: Bench
    method: Method
    rates: list[float]
    losses: dict[float, float] = field(default_factory=dict)
    beyond: list[float] = field(default_factory=list)

    def advance(self) -> dict[str, Any] | None:
        """What was found; none while other processes are at rates that it needs."""
        while waiting := self._waiting():
            before = len(self.losses)
            for rate in waiting:
                self._try(rate)
            if len(self.losses) == before:
                return None
        best = self._best()
        return {
            "best": best,
            "at_end_of_grid": best in (min(self.losses), max(self.losses)),
            # all digits: rates may differ in the last of them
            "validation_loss": {repr(rate): self.losses[rate] for rate in sorted(self.losses)},
            "steps": self.method.steps,
            "seeds": self._seeds(),
            "trainable_parameters": self.method.trainable_parameters,
        }

    def _seeds(self) -> list[int]:
        return self.bench.config.seeds[: self.bench.config.search_seeds]

    def _waiting(self) -> list[float]:
        """The rates of the grid that have no loss yet; where all have one, the next beyond the end that is best."""
        untried = [rate for rate in (*self.rates, *self.beyond) if rate not in self.losses]
        if untried or len(self.beyond) == EXTENSIONS:
            return untried
        best, highest = self._best(), max(self.losses)
        if best not in (min(self.losses), highest):
            return []
        low, high, count = self.rates[0], self.rates[-1], len(self.rates)
        ratio = (high / low) ** (1 / (count - 1)) if count > 1 else math.sqrt(10)
        self.beyond.append(float(f"{best * ratio if best == highest else best / ratio:.1e}"))
        return self.beyond[-1:]

    def _best(self) -> float:
        return min(sorted(self.losses), key=lambda rate: self.losses[rate])

    def _try(self, rate: float) -> None:
        losses = [self._validation_loss(rate, seed) for seed in self._seeds()]
        known = [loss for loss in losses if loss is not None]
        if len(known) < len(losses):
            return
        self.losses[rate] = math.fsum(known) / len(known)
        self.bench.console.print(
            f"{self.method.name}, learning rate {rate}: validation loss {self.losses[rate]:.4f}", highlight=False
        )

    def _validation_loss(self, rate: float, seed: int) -> float | None:
        folder = self.bench.output / f"{self.method.name}-{rate!r}-{seed}"
        method = replace(self.method, learning_rate=rate)
        run = run_trial(self.bench, method, seed, self.bench.config.evaluation, folder, keep_adapter=False)
        if run is None:
            return None
        return math.inf if run.eval_loss is None else run.eval_loss


def search_table(found: dict[str, Any]) -> Table:
    """What a search found, for the terminal."""
    rates = sorted({float(rate) for entry in found.values() for rate in entry["validation_loss"]})
    table = Table(title="validation loss by learning rate")
    table.add_column("method")
    for rate in rates:
        table.add_column(str(rate), justify="right")
    table.add_column("chosen", justify="right")
    for name, entry in found.items():
        cells = [entry["validation_loss"].get(repr(rate)) for rate in rates]
        shown = ["" if cell is None else f"{cell:.4f}" for cell in cells]
        table.add_row(name, *shown, f"{entry['best']}{' (end of grid)' if entry['at_end_of_grid'] else ''}")
    return table
