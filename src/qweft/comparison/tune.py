"""Each method's learning rate, chosen on the validation rows."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from qweft.comparison.claims import done_by_any
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import Method
from qweft.comparison.trial import Bench, run_trial, set_up
from qweft.errors import QweftError
from qweft.files import write_json

EXTENSIONS = 3
"""So often the grid grows beyond an end at which the best rate lies."""


def tune(config: ComparisonConfig, command: str) -> Path:
    """Train every method at every rate at the first seed, judge on the validation rows, choose the lowest loss.

    The test rows are not looked at. Where the best rate lies at an end of the grid, the grid grows beyond it by its own
    ratio, up to three times, so that a method is not held back by the grid. Finished runs are kept and not repeated;
    several processes with one output share them.

    Returns:
        The path of learning_rates.json.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    rates = sorted(set(config.rates))
    if not rates or rates[0] <= 0 or not math.isfinite(rates[-1]):
        raise QweftError(f"rates must be learning rates above 0, at least one, got {config.rates}")
    console = Console()
    bench = set_up(replace(config, evaluation=replace(config.evaluation, split="validation")), console)
    searches = [Search(bench, method, rates) for method in bench.methods]
    found: dict[int, dict[str, Any]] = {}
    for place, entry in done_by_any([search.advance for search in searches]):
        found[place] = entry
        by_name = {bench.methods[at].name: found[at] for at in sorted(found)}
        write_json(bench.output / "learning_rates.json", {"command": command, "methods": by_name})
    _show(by_name, console)
    return bench.output / "learning_rates.json"


@dataclass
class Search:
    """One method's way through the rates.

    Args:
        bench: What the runs share.
        method: The method.
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
            "validation_loss": {f"{rate:g}": self.losses[rate] for rate in sorted(self.losses)},
            "trainable_parameters": self.method.trainable_parameters,
        }

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
        loss = _validation_loss(self.bench, self.method, rate)
        if loss is None:
            return
        self.losses[rate] = loss
        self.bench.console.print(
            f"{self.method.name}, learning rate {rate:g}: validation loss {loss:.4f}", highlight=False
        )


def _validation_loss(bench: Bench, method: Method, rate: float) -> float | None:
    judging = replace(bench.config.evaluation, split="validation", answers=0)
    folder = bench.output / f"{method.name}-{rate:g}"
    run = run_trial(
        bench, replace(method, learning_rate=rate), bench.config.seeds[0], judging, folder, keep_adapter=False
    )
    if run is None:
        return None
    return math.inf if run.eval_loss is None else run.eval_loss


def _show(found: dict[str, Any], console: Console) -> None:
    rates = sorted({float(rate) for entry in found.values() for rate in entry["validation_loss"]})
    table = Table(title="validation loss by learning rate")
    table.add_column("method")
    for rate in rates:
        table.add_column(f"{rate:g}", justify="right")
    table.add_column("chosen", justify="right")
    for name, entry in found.items():
        cells = [entry["validation_loss"].get(f"{rate:g}") for rate in rates]
        shown = ["" if cell is None else f"{cell:.4f}" for cell in cells]
        table.add_row(name, *shown, f"{entry['best']:g}{' (end of grid)' if entry['at_end_of_grid'] else ''}")
    console.print(table)
