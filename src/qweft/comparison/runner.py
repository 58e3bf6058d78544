"""`compare`: plan, prepare, run, judge, report. Each takes what the one before made."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from qweft.comparison.claims import done_by_any, shared_output
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.context import Context
from qweft.comparison.decision import Recommendation, recommend
from qweft.comparison.executors.set_up import set_up
from qweft.comparison.family import questions, undecided
from qweft.comparison.halving import with_halving
from qweft.comparison.methods import Method
from qweft.comparison.pacing import Pace, pace_said, paced, with_seeds
from qweft.comparison.plan import Plan, check_steps, resolve
from qweft.comparison.report.content import Content
from qweft.comparison.report.write import write_report
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import stated
from qweft.comparison.rungs import Rung
from qweft.comparison.schedule import Schedule, duration, schedule, search_said, seconds_of_a_token
from qweft.comparison.speed import load_said, measured_alone, most_by_others
from qweft.comparison.statistics import Look
from qweft.comparison.step_times import with_matched_time
from qweft.comparison.summarise import summarise
from qweft.comparison.summary import Summary, paired
from qweft.comparison.terminal import halving_said, print_run, print_summary, runs_plan, too_large_said
from qweft.comparison.trial import RECORD, finished_trial, read_record, run_folder, run_trial
from qweft.comparison.tune import with_searched_rates
from qweft.comparison.winner import commands_for, keep_winner, write_card
from qweft.data.load import load_data
from qweft.evaluation.loss import check_room
from qweft.evaluation.run import LENGTH, other_rows
from qweft.output import Console
from qweft.training.loop import planned_steps

SECONDS_BETWEEN_REPORTS = 10.0
"""Shortest time between two reports while runs are made; drawing one takes a second."""


@dataclass(frozen=True)
class Prepared:
    """A comparison that is ready to run: model and data are loaded, and everything is settled but the losses.

    Args:
        context: What the runs share.
        plan: The plan.
        methods: The methods that make the runs, with their rates.
        command: The command line, and `config_yaml` the config as text, for the report.
        begun: When the command began.
        speed: Seconds of an evaluated token; `None` if it was not timed.
        pace: What the budget of time allows; `None` without one.
        search: The searches for learning rates; `None` without one.
        rungs: The halving; empty without one.
    """

    context: Context
    plan: Plan
    methods: Sequence[Method]
    command: str
    config_yaml: str
    begun: float
    speed: float | None = None
    pace: Pace | None = None
    search: dict[str, Any] | None = None
    rungs: Sequence[Rung] = ()

    @property
    def at_end(self) -> set[str]:
        """Names of the methods whose best rate was the lowest or the highest that was tried."""
        return {name for name, each in (self.search or {}).items() if each.get("at_end_of_grid")}


def describe(config: ComparisonConfig) -> Group:
    """Return the runs that `compare` would make; it loads only the shapes of the model, and reads the data."""
    plan = resolve(config)
    steps, training = None, plan.settings.training
    if plan.shapes.tokenizer is not None:
        data = load_data(plan.settings.data, plan.shapes.tokenizer)
        check_room(plan.shapes.model, data.rows(plan.settings.evaluation.split))
        elsewhere = other_rows(plan.settings.evaluation, plan.settings.data, plan.shapes.tokenizer)
        check_room(plan.shapes.model, elsewhere, LENGTH)
        steps = planned_steps(training, data.train)
        if plan.budget.seconds is None:  # a time sets the steps once the machine is known
            check_steps(plan, plan.methods, steps)
    return Group(
        runs_plan(plan, steps), *(Text(line) for line in (too_large_said(plan), halving_said(plan, steps)) if line)
    )


def compare(config: ComparisonConfig, config_yaml: str, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Make the missing runs and write the results.

    `config.output` gets:

    - a folder `<method>-<seed>` per run with its adapter and record, and `base` for the untouched model,
    - results.json, report.html, report.md and its pictures, written anew while the runs go on,
    - plan.json, the margin, reference, seeds and methods of the first results,
    - with `search`, a folder of that name with its runs,
    - with `halving`, a folder `rung-1` and so on with the runs of each rung, and with a budget of time budget.json,
    - with `recommend`, a folder `winner` with the adapter of the method to use,
    - with `match_time`, step_times.json.

    At each seed all methods get the same rows in the same order, and the same number of steps except under
    `match_time`. Several processes with one output folder share the runs. Each writes the same results after the
    last run.

    Args:
        config: The comparison.
        config_yaml: The same as YAML text, for the report.
        command: The command line, which is recorded.
        begin: Called once everything is checked and loaded; it may start workers.

    Returns:
        The path of report.html.

    Raises:
        QweftError: If anything in the config is wrong, the folder holds runs of another configuration, or another
            command writes there.
    """
    with shared_output("qweft compare", config):
        it = prepare(config, config_yaml, command, begin)
        with closing(it.context.executor):
            it = choose(it)
            runs, looks = run(it)
        return report(it, runs, looks)


def prepare(config: ComparisonConfig, config_yaml: str, command: str, begin: Callable[[], None]) -> Prepared:
    """Resolve the config, load model and data, and set the pace that a budget of time allows."""
    begun, console = time.perf_counter(), Console()
    plan = resolve(config)
    context = set_up(plan.settings, plan.executor, plan.workers, console)
    if plan.too_large:
        console.say(too_large_said(plan))
    is_timed = plan.executor == "local" and not all((folder / RECORD).is_file() for folder in _folders(config))
    speed = seconds_of_a_token(context) if is_timed else None  # before other workers take the cores
    pace = None
    if plan.budget.seconds is not None:
        context, plan, pace = paced(context, plan, time.perf_counter() - begun, speed)
        console.say(pace_said(pace, plan))
    elif plan.halving.finalists is not None:
        console.say(halving_said(plan, planned_steps(context.settings.training, context.data.train)))
    begin()
    return Prepared(context, plan, plan.methods, command, config_yaml, begun, speed, pace)


def choose(it: Prepared) -> Prepared:
    """Return it with the methods and rates that the halving, or else the search, leaves: on validation rows alone."""
    context, plan = it.context, it.plan
    methods = with_matched_time(context, plan.methods, plan.seeds[0])
    check_steps(plan, methods, planned_steps(context.settings.training, context.data.train))
    if plan.halving.finalists is None and not plan.search:
        return replace(it, methods=methods)
    _check_runs(context, methods, plan.seeds)
    if plan.halving.finalists is None:
        if any(method.searched for method in methods):
            context.console.say(search_said(context, methods, plan.grid, it.speed, plan.workers or 1))
        methods, search = with_searched_rates(context, methods, plan.grid)
        return replace(it, methods=methods, search=search)

    def after(rung: Rung, rungs: int) -> None:
        limit = f", of {duration(plan.budget.seconds)}" if plan.budget.seconds else ""
        context.console.say(f"{rung.said(rungs)}; {duration(time.perf_counter() - it.begun)} since the start{limit}")

    finalists, search, rungs = with_halving(context, methods, plan.grid, plan.halving, after)
    plan = replace(plan, reference=rungs[-1].leader)  # before anything is judged on the test rows
    if it.pace is not None:
        plan = with_seeds(context, plan, finalists, it.pace)
    return replace(it, plan=plan, methods=finalists, search=search if plan.search else None, rungs=rungs)


def run(it: Prepared) -> tuple[list[Run], list[Look]]:
    """Make the runs of each look, until every question is decided; return them with the looks that were made."""
    runs: list[Run] = []
    looks: list[Look] = []
    asked: Sequence[Method] = it.methods
    for seeds, look in zip(it.plan.looks, it.plan.judging, strict=True):
        planned = schedule(it.context, asked, seeds, it.speed, it.plan.workers or 1, runs)
        write = partial(_so_far, it, tuple(runs), tuple(looks or [look]), len(runs) + len(planned.runs))
        looks.append(look)
        runs += _make_runs(it.context, planned, write)
        summary, _ = judge(it, runs, looks)
        left = undecided(summary)
        if look.planned > 1:
            it.context.console.say(f"look {look.number} of {look.planned}: {_open_said(it.methods, left, summary)}")
        asked = [method for method in it.methods if method.name in left]
        if not asked:
            break
    return runs, looks


def judge(it: Prepared, runs: Sequence[Run], looks: Sequence[Look]) -> tuple[dict[str, Summary], Recommendation | None]:
    """Return the summary of each method, with the looks that judge it, and the recommendation if one is asked for."""
    plan = it.plan
    summary = summarise(runs, plan.reference, plan.equivalent_within, looks, plan.recommend)
    return summary, recommend(summary, it.rungs, plan.untried, it.at_end) if plan.recommend else None


def report(it: Prepared, runs: Sequence[Run], looks: Sequence[Look]) -> Path:
    """Write the report of all runs, say the answer, and keep the winner."""
    console, budget = it.context.console, it.plan.budget.seconds
    results, recommendation = _results(it, runs, looks, len(runs))
    page = write_report(results, it.config_yaml, it.plan.title, it.context.output)
    content = Content.read(results)
    print_summary(content.summary, content.search, console)
    console.say(load_said(runs))
    if budget is not None:
        console.say(f"took {duration(time.perf_counter() - it.begun)}, of a budget of {duration(budget)}")
    console.say(f"report: {page}")
    console.say("")
    console.say(content.conclusion)
    if recommendation is None:
        return page
    write_card(it.context, runs, recommendation)
    if adapter := keep_winner(it.context.output, recommendation, console.say):
        for line in ["", f"winner: {adapter}", *commands_for(adapter, it.context.loaded)]:
            console.say(line)
    return page


def _results(
    it: Prepared, runs: Sequence[Run], looks: Sequence[Look], total: int
) -> tuple[dict[str, Any], Recommendation | None]:
    """Return the content of results.json, and the recommendation in it."""
    summary, recommendation = judge(it, runs, looks)
    plan = {
        "margin": it.plan.equivalent_within,
        "reference": it.plan.reference,
        "methods": sorted(method.name for method in it.methods),
        "seeds": [sorted(seeds) for seeds in it.plan.looks],
    }
    return {
        "runs": [run.to_json() for run in runs],
        "planned_runs": total,
        "summary": {name: entry.to_json() for name, entry in summary.items()},
        "environment": it.context.environment(it.command),
        "step_times": {"alone": measured_alone(runs), "cpu_by_others": most_by_others(runs)},
        **({} if it.search is None else {"search": it.search}),
        **({"halving": [asdict(rung) for rung in it.rungs]} if it.rungs else {}),
        **({} if recommendation is None else {"recommendation": asdict(recommendation)}),
        **({} if it.pace is None or it.pace.rows is None else {"judged_rows": list(it.pace.rows)}),
        **stated(it.context.output, plan),
    }, recommendation


def _so_far(it: Prepared, before: Sequence[Run], looks: Sequence[Look], total: int, made: Sequence[Run]) -> Path:
    results, _ = _results(it, [*before, *made], looks, total)
    return write_report(results, it.config_yaml, it.plan.title, it.context.output)


def _folders(config: ComparisonConfig) -> list[Path]:
    output = Path(config.output)
    return [output / BASE, *(run_folder(output, name, seed) for name in config.methods for seed in config.seeds)]


def _open_said(methods: Sequence[Method], left: Collection[str], summary: Mapping[str, Summary]) -> str:
    """Return the methods whose questions are still open, as text, or else why seeds decide no more of them."""
    names = [method.name for method in methods if method.name in left]
    if names:
        return f"not decided for {', '.join(names)}"
    pairs = [paired(summary[one], summary[other]) for one, other in questions(summary)]
    reasons = dict.fromkeys(pair.reason for pair in pairs if pair.direction == "not decided")
    return f"no seed decides what is left: {'; '.join(reasons)}" if reasons else "every question is decided"


def _check_runs(context: Context, methods: Sequence[Method], seeds: Sequence[int]) -> None:
    """Refuse runs of another configuration before a search or a halving, which may take hours.

    A run whose rate is yet to be found may have any.
    """
    searched = {method.name for method in methods if method.searched}
    finished_trial(context, None, context.settings.first_seed, run_folder(context.output, BASE, 0))
    for method, seed in product(methods, seeds):
        folder = run_folder(context.output, method.name, seed)
        if {method.name, method.rate_of} & searched and os.path.lexists(folder / RECORD):
            rate = read_record(folder / RECORD)[1].learning_rate
            method = replace(method, learning_rate=method.learning_rate if rate is None else rate)
        finished_trial(context, method, seed, folder)


def _make_runs(context: Context, planned: Schedule, write: Callable[[Sequence[Run]], Path]) -> list[Run]:
    """Return the runs in their order, whichever finishes first, and write the report of all finished ones meanwhile."""
    tasks = [
        partial(run_trial, context, method, seed, planned.folder(place))
        for place, (method, seed) in enumerate(planned.runs)
    ]
    runs: dict[int, Run] = {}
    begun, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    written = -SECONDS_BETWEEN_REPORTS
    for place, each in enumerate(planned.runs):
        finished_trial(context, *each, planned.folder(place))  # again, with the rates that were found
    for line in planned.described():
        context.console.say(line)
    for place, made in done_by_any(tasks, context.executor.wait):
        runs[place] = made
        seconds = time.perf_counter() - begun
        recent = [at for at, each in runs.items() if each.started is not None and each.started >= started]  # by anyone
        left = planned.left(recent, seconds)
        print_run(made, context.settings.evaluation.split, (len(runs), len(tasks)), seconds, left, context.console)
        if place in recent and len(runs) < len(tasks) and seconds - written >= SECONDS_BETWEEN_REPORTS:
            _report_so_far(context, planned, write, is_first=written < 0)
            written = time.perf_counter() - begun
    return [runs[place] for place in sorted(runs)]


def _report_so_far(context: Context, planned: Schedule, write: Callable[[Sequence[Run]], Path], is_first: bool) -> None:
    """Write the report of the runs that are finished, whoever made them; a fault is told, and the runs go on."""
    try:
        found = [finished_trial(context, *each, planned.folder(place)) for place, each in enumerate(planned.runs)]
        page = write([each for each in found if each is not None])
    except Exception as fault:  # hours of training do not end for a picture; the last report raises what is wrong
        context.console.say(f"the report so far could not be written ({type(fault).__name__}: {fault}); the runs go on")
        return
    if is_first:
        context.console.say(f"report so far, updated after each run: {page}")
