"""Learning rates and successive halving, judged on the validation rows: `qweft tune`, and `qweft compare` at first."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.judge.halving import Rung, standings
from qweft.comparison.judge.rates import best_tried, means, optimum
from qweft.comparison.judge.searches import Search
from qweft.comparison.methods import Method
from qweft.comparison.plan import Grid, Plan, resolve, rung_sizes, rung_steps
from qweft.comparison.report.table import search_table
from qweft.comparison.results import Run
from qweft.comparison.results_file import check_free_of_others
from qweft.comparison.run.context import Context
from qweft.comparison.run.set_up import set_up
from qweft.comparison.run.trial import finished_trial, run_trial
from qweft.comparison.run.workers import shared_output, trials
from qweft.core.errors import QweftError
from qweft.core.output import Console
from qweft.core.records import write_record
from qweft.core.text import many

FILE = "learning_rates.json"
FOLDER = "search"
"""Folder of the search runs, in the output folder of a comparison."""


def describe(config: ComparisonConfig) -> str:
    """Return the trainings that `tune` would run, for the terminal."""
    plan = resolve(config)
    methods, grid = _with_own_rate(plan.methods), plan.grid
    rates = ", ".join(f"{method.name} {grid.rates or method.learning_rate}" for method in methods)
    seeds, most = ", ".join(map(str, grid.seeds)), many(len(methods) * grid.trainings, "training")
    return f"{plan.title}: at most {most} at seeds {seeds}; learning rates at first: {rates}"


def tune(config: ComparisonConfig, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Search the learning rate of every method, except those that use another method's (`rate_of`)."""
    with shared_output("qweft tune", config):
        check_free_of_others(Path(config.output), "qweft tune", {"methods"}, [FILE])
        plan, context = resolve(config), set_up(config, Console())
        begin()
        with closing(context):
            found = search(context, context.output, _with_own_rate(plan.methods), plan.grid)
        write_record(context.output / FILE, {"command": command, "methods": _records(found)})
        context.console.print(search_table([tried.search for tried in found.values()]))
        return context.output / FILE


def _with_own_rate(methods: Sequence[Method]) -> list[Method]:
    return [replace(method, searched=True) for method in methods if method.rate_of is None]


def _records(found: Mapping[str, "Tried"]) -> dict[str, Any]:
    return {name: tried.to_json() for name, tried in found.items()}


def with_searched_rates(context: Context, plan: Plan) -> tuple[Plan, dict[str, Any]]:
    """Return the plan with the learning rates of the search, and what results.json holds of it."""
    found = search(context, context.output / FOLDER, [each for each in plan.methods if each.searched], plan.grid)
    return replace(plan, methods=with_rates(plan.methods, found)), _records(found)


def with_halving(context: Context, plan: Plan) -> tuple[Plan, dict[str, Any], list[Rung]]:
    """Make the rungs; return the plan of the finalists with their rates, the searches by method, and the rungs."""
    alive, searches, rungs = plan.methods, dict[str, Any](), list[Rung]()
    steps = rung_steps(plan.config.halving, context.steps)
    sizes = rung_sizes(len(alive), plan.finalists, len(steps))
    for number, (count, most) in enumerate(zip(steps, sizes, strict=True), 1):
        grid, folder = replace(plan.grid, steps=count), context.output / f"rung-{number}"
        found = search(context, folder, [each for each in alive if each.searched], grid)
        searches.update(_records(found))
        alive = with_rates(alive, found)
        found.update(search(context, folder, [each for each in alive if not each.searched], grid))
        best = {method.name: found[method.name].best for method in alive}
        rung = Rung(number, count, grid.seeds, tuple(standings(best, most)))
        rungs.append(rung)
        context.console.say(rung.describe(len(steps)))
        if not rung.remaining:
            raise QweftError(
                f"every method diverged after {many(count, 'step')}: lower search_from of the methods, or "
                "training.learning_rate"
            )
        alive = tuple(method for method in alive if method.name in rung.remaining)
    # the reference is fixed before anything is judged on the test rows
    return replace(plan, methods=alive, reference=rung.leader), searches, rungs


def with_rates(methods: Sequence[Method], found: Mapping[str, "Tried"]) -> tuple[Method, ...]:
    """Return the methods with the rates that were found, those with the rate of another one too."""
    rates = {name: tried.search.best for name, tried in found.items()}
    return tuple(
        replace(each, learning_rate=rates.get(each.rate_of or each.name, each.learning_rate)) for each in methods
    )


def search(context: Context, folder: Path, methods: Sequence[Method], grid: Grid) -> dict[str, "Tried"]:
    """Train the methods, those that are searched at several rates, judged by the validation loss."""
    config, grid = context.config, replace(grid, steps=grid.steps or context.steps)
    judging = replace(config.evaluation, split="validation", answers=0, forgetting=None)
    training = replace(config.training, max_steps=grid.steps)
    short = replace(config, output=str(folder), training=training, evaluation=judging, inspect=False)
    apart, made = replace(context, config=short), {each.name: Tried(each, grid) for each in methods}

    def proposed() -> list[tuple[Tried, float, int]]:
        return [(tried, *each) for tried in made.values() for each in tried.left]

    def run(tried: Tried, rate: float, seed: int) -> tuple[Method, int, Path]:
        name = f"{tried.method.name}-{rate!r}-{seed}"
        return replace(tried.method, learning_rate=rate), seed, folder / name

    for trial in proposed():
        finished_trial(apart, *run(*trial))  # refuses runs of another configuration before any is made
    for (tried, rate, seed), result in trials(
        proposed, lambda trial: run_trial(apart, *run(*trial), keep_adapter=False), context.wait
    ):
        tried.runs[rate, seed] = result
        if rate in tried.losses:
            loss = means(tried.losses)[rate]
            judged = f"validation loss {loss:.4f}" if math.isfinite(loss) else "diverged"
            context.console.print(f"{tried.method.name}, learning rate {rate}: {judged}", highlight=False)
    return made


@dataclass
class Tried:
    """One method's trainings, by rate and seed."""

    method: Method
    grid: Grid
    runs: dict[tuple[float, int], Run] = field(default_factory=dict)

    @property
    def losses(self) -> dict[float, tuple[float, ...]]:
        """Validation loss at each seed, by the rates that were tried at all; infinite where the training diverged."""
        losses = {key: math.inf if run.eval_loss is None else run.eval_loss for key, run in self.runs.items()}
        return {
            rate: tuple(losses[rate, seed] for seed in self.grid.seeds)
            for rate in dict.fromkeys(rate for rate, _ in losses)
            if all((rate, seed) in losses for seed in self.grid.seeds)
        }

    @property
    def left(self) -> list[tuple[float, int]]:
        """The rates and seeds to train at, by the losses so far; empty once the search is over."""
        given = self.method.learning_rate
        rates = self.grid.next_rates(self.losses, given) if self.method.searched else [given]
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
        own = {"steps": self.grid.steps, "seeds": list(self.grid.seeds), "trainable_parameters": size}
        return {**self.search.to_json(), **own}
