"""Search for each method's learning rate on the validation rows: `qweft tune`, and `search` in `qweft compare`."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Group

from qweft.comparison.claims import done_by_any, kept, shared_output
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.context import Context
from qweft.comparison.executors.set_up import set_up
from qweft.comparison.methods import Method
from qweft.comparison.plan import EXTENSIONS, Grid, check_steps, resolve_search
from qweft.comparison.rates import best_tried, is_at_end, means, next_rate
from qweft.comparison.searched import search_of
from qweft.comparison.step_times import with_matched_time
from qweft.comparison.terminal import search_plan, search_table
from qweft.comparison.trial import RECORD, finished_trial, run_trial
from qweft.data.load import load_data
from qweft.errors import QweftError
from qweft.output import Console
from qweft.records import read_record, write_record
from qweft.training.loop import planned_steps

FILE = "learning_rates.json"
FOLDER = "search"
"""Folder of the search runs, in the output folder of a comparison."""


def describe(config: ComparisonConfig) -> Group:
    """Return the trainings that `tune` would run, for the terminal."""
    check_free_of_others(Path(config.output))
    plan = resolve_search(config)
    methods, settings, grid = _with_own_rate(plan.methods), plan.settings, plan.grid
    if plan.shapes.tokenizer is not None:
        data = load_data(settings.data, plan.shapes.tokenizer)
        whole = planned_steps(settings.training, data.train)
        check_steps(plan, methods, whole, is_search=True)
        grid = replace(grid, steps=grid.steps or whole)
    title = f"{settings.model.name} on {settings.data.source}, judged on its validation rows"
    return search_plan(title, methods, grid)


def tune(config: ComparisonConfig, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Search the learning rate of every method, except those that use another method's (`rate_of`)."""

    def what_is_kept() -> str:
        done = {path for name in config.methods for path in Path(config.output).glob(f"{name}-*/{RECORD}")}
        return kept(len(done), None, "training", config.output)

    with shared_output("qweft tune", config, what_is_kept):
        return _tune(config, command, begin)


def _tune(config: ComparisonConfig, command: str, begin: Callable[[], None]) -> Path:
    console = Console()
    check_free_of_others(Path(config.output))
    plan = resolve_search(config)
    context = set_up(plan.settings, plan.executor, plan.workers, console)
    begin()
    with closing(context.executor):
        methods = _with_own_rate(with_matched_time(context, plan.methods, plan.seeds[0]))
        whole = planned_steps(context.settings.training, context.data.train)
        check_steps(plan, methods, whole, is_search=True)
        found = search(context, methods, plan.grid, {"command": command})
    console.print(search_table(found))
    return context.output / FILE


def check_free_of_others(folder: Path) -> None:
    """Raise if a search would replace a learning_rates.json that no search wrote."""
    if os.path.lexists(folder / FILE):
        way = "choose another --output, or remove it"
        if not isinstance(read_record(folder / FILE, way).get("methods"), dict):
            raise QweftError(f"output {folder} holds {FILE}, and no qweft tune wrote it or it is damaged; {way}")


def _with_own_rate(methods: Sequence[Method]) -> list[Method]:
    return [method for method in methods if method.rate_of is None]


def with_searched_rates(context: Context, methods: Sequence[Method], grid: Grid) -> tuple[list[Method], dict[str, Any]]:
    """Return the methods with the learning rates of the search, and the record for `results["search"]`."""
    output = context.output / FOLDER
    check_free_of_others(output)
    apart = replace(context, settings=replace(context.settings, output=str(output)))
    asked = [method for method in methods if method.searched]
    found = search(apart, asked, grid, {})
    if found:
        context.console.print(search_table(found))
    made, told = [], {}
    for method in methods:
        source = method.rate_of
        rate = found[source or method.name]["best"] if (source or method.name) in found else method.learning_rate
        made.append(replace(method, learning_rate=rate))
        given = {"given": rate} if source is None else {"rate_of": source}
        told[method.name] = found.get(method.name) or {**given, "best": rate, "validation_loss": {}}
    return made, told


def search(context: Context, methods: Sequence[Method], grid: Grid, record: Mapping[str, Any]) -> dict[str, Any]:
    """Train the methods at several rates and chooses each one's rate by the validation loss."""
    settings = context.settings
    judging = replace(settings.evaluation, split="validation", answers=0, forgetting=None)
    path = context.output / FILE
    context = replace(context, settings=replace(settings, evaluation=judging, inspect=False))
    searches = [Search(context, shortened(context, method, grid.steps), grid) for method in methods]
    for each in searches:
        each.check()
    found: dict[int, dict[str, Any]] = {}
    for place, entry in done_by_any([each.advance for each in searches], context.executor.wait):
        found[place] = entry
        told = {methods[at].name: found[at] for at in sorted(found)}
        write_record(path, {**record, "methods": told})
    return {methods[at].name: found[at] for at in sorted(found)}


def shortened(context: Context, method: Method, wanted: int | None) -> Method:
    """Return the method with the steps of the search, scaled if `match_time` set its own number of steps."""
    whole = planned_steps(context.settings.training, context.data.train)
    own = whole if method.steps is None else method.steps
    return replace(method, steps=own if wanted is None else max(1, round(wanted * own / whole)))


@dataclass
class Search:
    """The search for one method's rate."""

    context: Context
    method: Method
    grid: Grid
    losses: dict[float, tuple[float, ...]] = field(default_factory=dict)
    beyond: list[float] = field(default_factory=list)

    def advance(self) -> dict[str, Any] | None:
        """Return the result; `None` while other processes run rates that it needs."""
        while waiting := self._waiting():
            before = len(self.losses)
            for rate in waiting:
                self._try(rate)
            if len(self.losses) == before:
                return None
        return {
            **search_of(self.method.name, self.losses, bool(self.grid.rates)).to_json(),
            "steps": self.method.steps,
            "seeds": list(self.grid.seeds),
            "trainable_parameters": self.method.trainable_parameters,
        }

    def check(self) -> None:
        """Refuse runs of another configuration at the rates that are tried first, before another method's search."""
        for rate, seed in product(self._waiting(), self.grid.seeds):
            finished_trial(self.context, *self._run(rate, seed))

    def _waiting(self) -> list[float]:
        """Return the rates without a loss: of a list those left, then the next one beyond the end that is best."""
        if not self.grid.rates:
            following = next_rate(self.losses, self.method.learning_rate, self.grid.most)
            return [] if following is None else [following]
        untried = [rate for rate in (*self.grid.rates, *self.beyond) if rate not in self.losses]
        if untried or len(self.beyond) == EXTENSIONS:
            return untried
        if not is_at_end(self.losses):
            return []
        best, highest = best_tried(self.losses), max(self.losses)
        low, high, count = self.grid.rates[0], self.grid.rates[-1], len(self.grid.rates)
        ratio = (high / low) ** (1 / (count - 1)) if count > 1 else math.sqrt(10)
        further = best * ratio if best == highest else best / ratio
        rounded = float(f"{further:.1e}")
        self.beyond.append(further if rounded in self.losses else rounded)  # of rates that lie near each other
        return self.beyond[-1:]

    def _try(self, rate: float) -> None:
        losses = [self._validation_loss(rate, seed) for seed in self.grid.seeds]
        known = [loss for loss in losses if loss is not None]
        if len(known) < len(losses):
            return
        self.losses[rate] = tuple(known)
        loss = means(self.losses)[rate]
        told = f"validation loss {loss:.4f}" if math.isfinite(loss) else "diverged"
        self.context.console.print(f"{self.method.name}, learning rate {rate}: {told}", highlight=False)

    def _validation_loss(self, rate: float, seed: int) -> float | None:
        run = run_trial(self.context, *self._run(rate, seed), keep_adapter=False)
        if run is None:
            return None
        return math.inf if run.eval_loss is None else run.eval_loss

    def _run(self, rate: float, seed: int) -> tuple[Method, int, Path]:
        """Return method, seed and folder of a training."""
        folder = self.context.output / f"{self.method.name}-{rate!r}-{seed}"
        return replace(self.method, learning_rate=rate), seed, folder
