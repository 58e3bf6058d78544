"""Each method's learning rate, chosen on the validation rows."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

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
    ratio, up to three times, so that a method is not held back by the grid. Finished runs are kept and not repeated.

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
    found: dict[str, Any] = {}
    for method in bench.methods:
        found[method.name] = _search(bench, method, rates)
        write_json(bench.output / "learning_rates.json", {"command": command, "methods": found})
    _show(found, console)
    return bench.output / "learning_rates.json"


def _search(bench: Bench, method: Method, rates: list[float]) -> dict[str, Any]:
    losses: dict[float, float] = {}
    ratio = (rates[-1] / rates[0]) ** (1 / (len(rates) - 1)) if len(rates) > 1 else math.sqrt(10)
    waiting, grown = list(rates), 0
    while waiting:
        rate = waiting.pop(0)
        losses[rate] = _validation_loss(bench, method, rate)
        bench.console.print(
            f"{method.name}, learning rate {rate:g}: validation loss {losses[rate]:.4f}", highlight=False
        )
        if waiting or grown == EXTENSIONS:
            continue
        best, tried = min(losses, key=lambda key: losses[key]), sorted(losses)
        if best in (tried[0], tried[-1]):
            waiting.append(float(f"{best * ratio if best == tried[-1] else best / ratio:.1e}"))
            grown += 1
    best = min(losses, key=lambda key: losses[key])
    at_end = best in (min(losses), max(losses))
    return {
        "best": best,
        "at_end_of_grid": at_end,
        "validation_loss": {f"{rate:g}": losses[rate] for rate in sorted(losses)},
        "trainable_parameters": method.trainable_parameters,
    }


def _validation_loss(bench: Bench, method: Method, rate: float) -> float:
    judging = replace(bench.config.evaluation, split="validation", answers=0)
    folder = bench.output / f"{method.name}-{rate:g}"
    run = run_trial(
        bench, replace(method, learning_rate=rate), bench.config.seeds[0], judging, folder, keep_adapter=False
    )
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
