"""Terminal tables of a comparison and of a search for learning rates."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from qweft.comparison.methods import Method
from qweft.comparison.plan import Grid, Plan, rung_sizes, rung_steps
from qweft.comparison.results import Run
from qweft.comparison.schedule import duration, span
from qweft.comparison.searched import Search, searches
from qweft.comparison.summary import Summary
from qweft.comparison.table import forgetting_rows, print_table
from qweft.comparison.wording import caveats
from qweft.output import Console
from qweft.text import many


def runs_plan(plan: Plan, steps: int | None) -> Table:
    """Return the planned runs of a comparison as a table."""
    methods, grid = plan.methods, plan.grid
    searched = {method.name for method in methods if method.searched}
    if plan.halving.finalists is not None:
        runs = _halved(plan, len(searched))
    else:
        runs = many(len(methods) * len(plan.seeds), "run")
        if searched:
            runs += f", after a search of {trainings_said(grid, len(searched))}"
    further = f" (until decided, at most {len(plan.looks[-1])} seeds)" if len(plan.looks) > 1 else ""
    title = f"{plan.title}{further}, seeds {', '.join(map(str, plan.seeds))}: {runs}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in ("method", "parameters", "learning rate", "steps"):
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=column == "method")
    table.add_column("adapter", overflow="fold")
    shared = _shared([method.adapter for method in methods])
    if shared and len(methods) > 1:
        table.caption = f"all adapters: {_said(shared)}"
    for method in methods:
        rate = "searched" if method.searched else f"{method.learning_rate:g}"
        if method.rate_of in searched:
            rate = f"as {method.rate_of}"
        made = "all" if steps is None else f"{steps:,}"
        own = {key: value for key, value in method.adapter.items() if len(methods) == 1 or key not in shared}
        table.add_row(
            method.name, f"{method.trainable_parameters:,}", rate,
            f"time of {method.matches_time}" if method.matches_time else made, _said(own),
        )  # fmt: skip
    return table


def _halved(plan: Plan, searched: int) -> str:
    """Return how many runs a halving leaves and how many trainings it makes, as text; some stop earlier."""
    methods, grid, halving = len(plan.methods), plan.grid, plan.halving
    finalists = min(halving.finalists or methods, methods)
    sizes = rung_sizes(methods, finalists, len(halving.rungs) if halving.rungs else 2)
    each = (grid.trainings[1] * searched + len(grid.seeds) * (methods - searched)) / methods
    trainings = math.ceil(sum([methods, *sizes[:-1]]) * each)
    runs = many(finalists * len(plan.seeds), "run")
    return f"{runs} of {many(finalists, 'finalist')}, after {trainings} trainings at most"


def trainings_said(grid: Grid, methods: int) -> str:
    """Return how many trainings a search makes, as text."""
    least, most = grid.trainings
    return f"{span(f'{least * methods:,}', f'{most * methods:,}')} trainings"


def too_large_said(plan: Plan) -> str:
    """Return the sentence on the methods that the budget leaves out; empty if there is none."""
    names = [f"{each.name} ({each.trainable_parameters:,})" for each in plan.too_large]
    limit = f"{plan.budget.parameters:,}" if plan.budget.parameters else ""
    return f"left out, as they train more than {limit} parameters: {', '.join(names)}" if names else ""


def halving_said(plan: Plan, whole: int | None) -> str:
    """Return the sentence on the rungs before the runs; empty without halving."""
    if plan.halving.finalists is None:
        return ""
    finalists = many(min(plan.halving.finalists, len(plan.methods)), "method")
    steps = "" if whole is None else f" of {' and '.join(map(str, rung_steps(plan.halving, whole)))} steps"
    limit = plan.budget.seconds
    timed = "" if limit is None else f", with as many steps and seeds as fit into {duration(limit)}"
    return f"before the runs, rungs{steps} leave {finalists}{timed}"


def search_plan(title: str, methods: Sequence[Method], grid: Grid) -> Group:
    """Return the planned trainings of a search."""
    table = Table(title=title)
    table.add_column("method")
    table.add_column("parameters", justify="right")
    table.add_column("rates")
    for method in methods:
        rates = ", ".join(f"{rate:g}" for rate in grid.rates) or f"{method.learning_rate:g}, doubled and halved"
        table.add_row(method.name, f"{method.trainable_parameters:,}", rates)
    steps = "all steps" if grid.steps is None else many(grid.steps, "step")
    seeds = f"{'seed' if len(grid.seeds) == 1 else 'seeds'} {', '.join(map(str, grid.seeds))}"
    until = "until the best rate lies between two others" if not grid.rates else "more where the best lies at an end"
    return Group(table, Text(f"{trainings_said(grid, len(methods))} of {steps}, {seeds}: {until}"))


def search_table(found: dict[str, Any]) -> Table:
    """Return the result of a search as a table: what was tried, the rate, its loss, and how far it may fall short."""
    table = Table(title="learning rates by the loss on the validation rows", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("method", "tried", "chosen", "loss", "may fall short by"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for entry in searches(found):
        tried = f"{len(entry.losses)}, {min(entry.losses):g} to {max(entry.losses):g}"
        end = " (end of what was tried)" if entry.at_end else ""
        loss = "diverged" if entry.loss is None else f"{entry.loss:.4f}"
        table.add_row(entry.method, tried, f"{entry.best}{end}", loss, entry.shortfall.said)
    return table


def print_run(
    run: Run, split: str, place: tuple[int, int], seconds: float, left: float | None, console: Console
) -> None:
    """Print a line on a finished run: its place, its loss, its own time, and the whole command's."""
    loss = "not a number" if run.eval_loss is None else f"{run.eval_loss:.4f}"
    times = [] if run.seconds is None else [f"took {run.seconds:.0f} s"]
    times.append(f"{seconds:.0f} s since the start")
    times += [] if left is None else [f"about {duration(left)} left"]
    told = f"[{place[0]}/{place[1]}] {run.method}, seed {run.seed}: {split} loss {loss} ({', '.join(times)})"
    console.say(told)


def print_summary(summary: Mapping[str, Summary], searched: Sequence[Search], console: Console) -> None:
    """Print the results table, forgetting if measured, and what was not controlled. Reports have all findings."""
    print_table(summary, console)
    if rows := forgetting_rows(summary):
        console.print(_plain_table(rows))
    for line in caveats(summary, [each.method for each in searched]):
        console.print(f"note: {line}", highlight=False)


def _plain_table(rows: list[tuple[str, ...]]) -> Table:
    """Return a table from rows of text, titles first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    for place, title in enumerate(rows[0]):
        table.add_column(Text(title), justify="left" if place == 0 else "right", overflow="fold")
    for row in rows[1:]:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _shared(adapters: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the fields that all specifications have with the same value."""
    return {
        key: value
        for key, value in adapters[0].items()
        if all(key in other and other[key] == value for other in adapters)
    }


def _said(adapter: dict[str, Any]) -> str:
    """Return a specification as text: preset qtha, r 4."""
    texts = {key: " ".join(map(str, value)) if isinstance(value, list) else value for key, value in adapter.items()}
    return ", ".join(f"{key} {text}" for key, text in texts.items())
