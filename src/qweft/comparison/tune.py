"""Search for each method's learning rate on the validation rows: `qweft tune`, and `search` in `qweft compare`."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Group

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.context import Context
from qweft.comparison.methods import Method
from qweft.comparison.plan import Grid, check_steps, resolve_search
from qweft.comparison.rates import best_tried, means
from qweft.comparison.results import Run
from qweft.comparison.results_file import check_free_of_others
from qweft.comparison.searched import Search, search_of
from qweft.comparison.set_up import load_rows, set_up
from qweft.comparison.table import search_plan, search_table
from qweft.comparison.trial import finished_trial, run_trial
from qweft.comparison.workers import done_by_any, shared_output
from qweft.output import Console
from qweft.records import write_record
from qweft.training.loop import planned_steps

FILE = "learning_rates.json"
FOLDER = "search"
"""Folder of the search runs, in the output folder of a comparison."""


def describe(config: ComparisonConfig) -> Group:
    """Return the trainings that `tune` would run, for the terminal."""
    check_tuned(Path(config.output))
    plan = resolve_search(config)
    methods, grid = _with_own_rate(plan.methods), plan.grid
    if plan.shapes.tokenizer is not None:
        whole = planned_steps(config.training, load_rows(plan.config, plan.shapes)[0].train)
        check_steps(plan, methods, whole, is_search=True)
        grid = replace(grid, steps=grid.steps or whole)
    title = f"{config.model.name} on {config.data.source}, judged on its validation rows"
    return search_plan(title, methods, grid)


def tune(config: ComparisonConfig, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Search the learning rate of every method, except those that use another method's (`rate_of`)."""
    with shared_output("qweft tune", config):
        check_tuned(Path(config.output))
        plan = resolve_search(config)
        context = set_up(plan.config, Console())
        begin()
        with closing(context):
            methods = _with_own_rate(plan.methods)
            check_steps(plan, methods, context.steps, is_search=True)
            searched = search(context, context.output, methods, plan.grid, {"command": command})
        context.console.print(search_table({name: trials.to_json() for name, trials in searched.items()}))
        return context.output / FILE


def check_tuned(folder: Path) -> None:
    """Raise if a search would replace a learning_rates.json that no search wrote."""
    check_free_of_others(folder, "qweft tune", {"methods"}, [FILE])


def _with_own_rate(methods: Sequence[Method]) -> list[Method]:
    return [method for method in methods if method.rate_of is None]


def with_searched_rates(context: Context, methods: Sequence[Method], grid: Grid) -> tuple[list[Method], dict[str, Any]]:
    """Return the methods with the learning rates of the search, and the record for `results["search"]`."""
    searched = search(context, context.output / FOLDER, [method for method in methods if method.searched], grid)
    record = {name: trials.to_json() for name, trials in searched.items()}
    if record:
        context.console.print(search_table(record))
    methods = with_rates(methods, searched)
    for method in methods:
        given = {"given": method.learning_rate} if method.rate_of is None else {"rate_of": method.rate_of}
        record.setdefault(method.name, {**given, "best": method.learning_rate, "validation_loss": {}})
    return methods, {method.name: record[method.name] for method in methods}


def with_rates(methods: Sequence[Method], searched: Mapping[str, "Trials"]) -> list[Method]:
    """Return the methods with the rates that were found, those with the rate of another one too."""
    rates = {name: trials.search.best for name, trials in searched.items()}
    return [replace(each, learning_rate=rates.get(each.rate_of or each.name, each.learning_rate)) for each in methods]


def search(
    context: Context, folder: Path, methods: Sequence[Method], grid: Grid, record: Mapping[str, Any] | None = None
) -> dict[str, "Trials"]:
    """Train the methods at several rates, judged by the validation loss; a folder keeps the runs and the rates."""
    check_tuned(folder)
    made: dict[str, Trials] = {}
    for name, trials in _train(context, folder, [(each, grid) for each in methods]):
        made[name] = trials
        own = {each.name: made[each.name].to_json() for each in methods if each.name in made}
        write_record(folder / FILE, {**(record or {}), "methods": own})
    return {each.name: made[each.name] for each in methods}


def at_own_rates(context: Context, folder: Path, methods: Sequence[Method], grid: Grid) -> dict[str, "Trials"]:
    """Train the methods at their own rates as the trials of a search, and keep the runs in the folder."""
    return dict(_train(context, folder, [(m, replace(grid, rates=(m.learning_rate,), most=1)) for m in methods]))


def _train(context: Context, folder: Path, tasks: Sequence[tuple[Method, Grid]]) -> Iterator[tuple[str, "Trials"]]:
    """Yield the trials of each method, in the order in which they end: the one engine of tune, search and halving."""
    config = context.config
    judging = replace(config.evaluation, split="validation", answers=0, forgetting=None)
    apart = replace(context, config=replace(config, output=str(folder), evaluation=judging, inspect=False))
    waiting = [Trials(apart, replace(method, steps=grid.steps or context.steps), grid) for method, grid in tasks]
    for trials in waiting:
        trials.check()
    for _, trials in done_by_any([each.advance for each in waiting], context.wait):
        yield trials.method.name, trials


@dataclass
class Trials:
    """One method's trainings at the seeds of a grid, by learning rate."""

    context: Context
    method: Method
    grid: Grid
    runs: dict[float, list[Run]] = field(default_factory=dict)

    @property
    def losses(self) -> dict[float, tuple[float, ...]]:
        """Validation loss at each seed by rate; infinite where the training diverged."""
        return {
            rate: tuple(math.inf if run.eval_loss is None else run.eval_loss for run in runs)
            for rate, runs in self.runs.items()
        }

    @property
    def search(self) -> Search:
        """The search that they make."""
        return search_of(self.method.name, self.losses, bool(self.grid.rates))

    @property
    def best(self) -> list[Run]:
        """The runs at the best rate that was tried."""
        return self.runs[best_tried(self.losses)]

    def to_json(self) -> dict[str, Any]:
        """Return what results.json holds of them."""
        size = self.method.trainable_parameters
        own = {"steps": self.method.steps, "seeds": list(self.grid.seeds), "trainable_parameters": size}
        return {**self.search.to_json(), **own}

    def check(self) -> None:
        """Refuse runs of another configuration at the rates that are tried first, before another method's search."""
        for rate, seed in product(self.grid.following({}, self.method.learning_rate), self.grid.seeds):
            finished_trial(self.context, *self._run(rate, seed))

    def advance(self) -> "Trials | None":
        """Make the trials that are left; `None` while other processes make those that decide on the next."""
        while rates := self.grid.following(self.losses, self.method.learning_rate):
            made = [rate for rate in rates if self._is_made(rate)]
            if not made:
                return None
        return self

    def _is_made(self, rate: float) -> bool:
        runs = [run_trial(self.context, *self._run(rate, seed), keep_adapter=False) for seed in self.grid.seeds]
        finished = [run for run in runs if run is not None]
        if len(finished) < len(runs):
            return False
        self.runs[rate] = finished
        loss = means(self.losses)[rate]
        judged = f"validation loss {loss:.4f}" if math.isfinite(loss) else "diverged"
        self.context.console.print(f"{self.method.name}, learning rate {rate}: {judged}", highlight=False)
        return True

    def _run(self, rate: float, seed: int) -> tuple[Method, int, Path]:
        """Return method, seed and folder of a training."""
        folder = self.context.output / f"{self.method.name}-{rate!r}-{seed}"
        return replace(self.method, learning_rate=rate), seed, folder
