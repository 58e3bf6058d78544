"""Learning rates and successive halving, judged on the validation rows: `qweft tune`, and `qweft compare` at first."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Group

from qweft.comparison.checks import for_search
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.context import Context
from qweft.comparison.halving import LEAST, Rung, standings
from qweft.comparison.methods import Method
from qweft.comparison.plan import Grid, Plan, resolve, rung_sizes, rung_steps
from qweft.comparison.rates import best_tried, means, optimum
from qweft.comparison.results import Run
from qweft.comparison.results_file import check_free_of_others
from qweft.comparison.searched import Search
from qweft.comparison.set_up import load_rows, set_up
from qweft.comparison.table import search_plan, search_table
from qweft.comparison.trial import finished_trial, run_trial
from qweft.comparison.workers import shared_output, trials
from qweft.errors import QweftError
from qweft.output import Console
from qweft.records import write_record
from qweft.text import many
from qweft.training.loop import planned_steps

FILE = "learning_rates.json"
FOLDER = "search"
"""Folder of the search runs, in the output folder of a comparison."""


def describe(config: ComparisonConfig) -> Group:
    """Return the trainings that `tune` would run, for the terminal."""
    check_tuned(Path(config.output))
    plan = resolve(for_search(config))
    methods, grid = _with_own_rate(plan.methods), plan.grid
    if plan.shapes.tokenizer is not None:
        whole = planned_steps(config.training, load_rows(plan.config, plan.shapes)[0].train)
        grid = replace(grid, steps=grid.steps or whole)
    title = f"{config.model.name} on {config.data.source}, judged on its validation rows"
    return search_plan(title, methods, grid)


def tune(config: ComparisonConfig, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Search the learning rate of every method, except those that use another method's (`rate_of`)."""
    with shared_output("qweft tune", config):
        check_tuned(Path(config.output))
        plan = resolve(for_search(config))
        context = set_up(plan.config, Console())
        begin()
        with closing(context):
            methods = _with_own_rate(plan.methods)
            found = search(context, context.output, methods, plan.grid, {"command": command})
        context.console.print(search_table([tried.search for tried in found.values()]))
        return context.output / FILE


def check_tuned(folder: Path) -> None:
    """Raise if a search would replace a learning_rates.json that no search wrote."""
    check_free_of_others(folder, "qweft tune", {"methods"}, [FILE])


def _with_own_rate(methods: Sequence[Method]) -> list[Method]:
    return [method for method in methods if method.rate_of is None]


def with_searched_rates(context: Context, methods: Sequence[Method], grid: Grid) -> tuple[list[Method], dict[str, Any]]:
    """Return the methods with the learning rates of the search, and the record for `results["search"]`."""
    found = search(context, context.output / FOLDER, [method for method in methods if method.searched], grid)
    if found:
        context.console.print(search_table([tried.search for tried in found.values()]))
    made, record = with_rates(methods, found), {}
    for method in made:
        given = {"given": method.learning_rate} if method.rate_of is None else {"rate_of": method.rate_of}
        rest = {**given, "best": method.learning_rate, "validation_loss": {}}
        record[method.name] = found[method.name].to_json() if method.name in found else rest
    return made, record


def with_halving(
    context: Context, plan: Plan, after: Callable[[Rung, int], None]
) -> tuple[list[Method], dict[str, Any], list[Rung]]:
    """Make the rungs and return the finalists with their rates, the searches by method, and the rungs."""
    alive, searches, rungs = list(plan.methods), dict[str, Any](), list[Rung]()
    steps = rung_steps(plan.halving, context.steps)
    sizes = rung_sizes(len(alive), plan.halving.finalists or LEAST, len(steps))
    for number, (count, most) in enumerate(zip(steps, sizes, strict=True), 1):
        grid, folder = replace(plan.grid, steps=count), context.output / f"rung-{number}"
        found = search(context, folder, [method for method in alive if method.searched], grid)
        searches.update({name: tried.to_json() for name, tried in found.items()})
        alive = with_rates(alive, found)
        given = [(m, replace(grid, rates=(m.learning_rate,), most=1)) for m in alive if not m.searched]
        found.update({tried.method.name: tried for tried in _tried(context, folder, given)})
        best = {method.name: found[method.name].best for method in alive}
        rung = Rung(number, count, grid.seeds, tuple(standings(best, most)))
        rungs.append(rung)
        after(rung, len(steps))
        if not rung.going_on:
            raise QweftError(
                f"every method diverged after {many(count, 'step')}: lower search_from of the methods, or "
                "training.learning_rate"
            )
        alive = [method for method in alive if method.name in rung.going_on]
    return alive, searches, rungs


def with_rates(methods: Sequence[Method], found: Mapping[str, "Tried"]) -> list[Method]:
    """Return the methods with the rates that were found, those with the rate of another one too."""
    rates = {name: tried.search.best for name, tried in found.items()}
    return [replace(each, learning_rate=rates.get(each.rate_of or each.name, each.learning_rate)) for each in methods]


def search(
    context: Context, folder: Path, methods: Sequence[Method], grid: Grid, record: Mapping[str, Any] | None = None
) -> dict[str, "Tried"]:
    """Train the methods at several rates, judged by the validation loss; a folder keeps the runs and the rates."""
    check_tuned(folder)
    made: dict[str, Tried] = {}
    for tried in _tried(context, folder, [(each, grid) for each in methods]):
        made[tried.method.name] = tried
        own = {each.name: made[each.name].to_json() for each in methods if each.name in made}
        write_record(folder / FILE, {**(record or {}), "methods": own})
    return {each.name: made[each.name] for each in methods}


@dataclass
class Tried:
    """One method's trainings, by rate and seed."""

    method: Method
    grid: Grid
    runs: dict[tuple[float, int], Run] = field(default_factory=dict)

    @property
    def losses(self) -> dict[float, tuple[float, ...]]:
        """Validation loss at each seed, by the rates that were tried at all; infinite where the training diverged."""
        seeds, rates = self.grid.seeds, dict.fromkeys(rate for rate, _ in self.runs)
        runs = {rate: [self.runs[rate, seed] for seed in seeds if (rate, seed) in self.runs] for rate in rates}
        return {
            rate: tuple(math.inf if run.eval_loss is None else run.eval_loss for run in own)
            for rate, own in runs.items()
            if len(own) == len(seeds)
        }

    @property
    def left(self) -> list[tuple[float, int]]:
        """The rates and seeds to train at, by the losses so far; empty once the search is over."""
        rates = self.grid.following(self.losses, self.method.learning_rate)
        return [(rate, seed) for rate in rates for seed in self.grid.seeds if (rate, seed) not in self.runs]

    @property
    def search(self) -> Search:
        """The search that they make: of a list the best rate is chosen, else the vertex of the parabola."""
        losses = self.losses
        return Search(self.method.name, best_tried(losses) if self.grid.rates else optimum(losses), losses)

    @property
    def best(self) -> list[Run]:
        """The runs at the best rate that was tried."""
        return [self.runs[best_tried(self.losses), seed] for seed in self.grid.seeds]

    def to_json(self) -> dict[str, Any]:
        """Return what results.json holds of them."""
        size = self.method.trainable_parameters
        own = {"steps": self.method.steps, "seeds": list(self.grid.seeds), "trainable_parameters": size}
        return {**self.search.to_json(), **own}


def _tried(context: Context, folder: Path, tasks: Sequence[tuple[Method, Grid]]) -> Iterator[Tried]:
    """Yield the trainings of each method, in the order in which they end."""
    config = context.config
    judging = replace(config.evaluation, split="validation", answers=0, forgetting=None)
    apart = replace(context, config=replace(config, output=str(folder), evaluation=judging, inspect=False))
    methods = [Tried(replace(method, steps=grid.steps or context.steps), grid) for method, grid in tasks]

    def proposed() -> list[tuple[Tried, float, int]]:
        return [(tried, *each) for tried in methods for each in tried.left]

    def run(tried: Tried, rate: float, seed: int) -> tuple[Method, int, Path]:
        name = f"{tried.method.name}-{rate!r}-{seed}"
        return replace(tried.method, learning_rate=rate), seed, folder / name

    for trial in proposed():
        finished_trial(apart, *run(*trial))  # refuses runs of another configuration before any is made
    for (tried, rate, seed), made in trials(
        proposed, lambda trial: run_trial(apart, *run(*trial), keep_adapter=False), context.wait
    ):
        tried.runs[rate, seed] = made
        if rate in tried.losses:
            loss = means(tried.losses)[rate]
            judged = f"validation loss {loss:.4f}" if math.isfinite(loss) else "diverged"
            context.console.print(f"{tried.method.name}, learning rate {rate}: {judged}", highlight=False)
        if not tried.left:
            yield tried
