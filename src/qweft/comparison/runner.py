"""`compare`: runs every method at every seed and writes the report."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from qweft.comparison.claims import done_by_any, kept, shared_output
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.context import Context
from qweft.comparison.decision import Recommendation, conclusion, recommend
from qweft.comparison.executors.set_up import set_up
from qweft.comparison.family import questions, undecided
from qweft.comparison.halving import Rung, finished_runs, with_halving
from qweft.comparison.methods import Method
from qweft.comparison.pace import Pace
from qweft.comparison.pacing import pace_said, paced, with_seeds
from qweft.comparison.plan import Plan, check_steps, resolve
from qweft.comparison.report.write import write_report
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import REPORT, WINNER, changed_said, first_stated, make_room
from qweft.comparison.schedule import Schedule, duration, schedule, search_said, seconds_of_a_token
from qweft.comparison.searched import doubts_said, searches, with_doubts
from qweft.comparison.speed import load_said, measured_alone, most_by_others
from qweft.comparison.statistics import Look, paired
from qweft.comparison.step_times import with_matched_time
from qweft.comparison.summarise import summarise
from qweft.comparison.summary import Summary
from qweft.comparison.terminal import (
    halving_said,
    print_run,
    print_summary,
    runs_plan,
    too_large_said,
)
from qweft.comparison.trial import RECORD, finished_trial, read_record, run_folder, run_trial
from qweft.comparison.tune import FOLDER, with_searched_rates
from qweft.comparison.verdicts import claimed, findings
from qweft.comparison.winner import commands_for, keep_winner
from qweft.data.load import load_data
from qweft.evaluation.loss import check_room
from qweft.evaluation.run import LENGTH, other_rows
from qweft.output import Console
from qweft.training.loop import planned_steps

SECONDS_BETWEEN_REPORTS = 10.0
"""Shortest time between two reports while runs are made; drawing one takes a second."""


def describe(config: ComparisonConfig) -> Group:
    """Returns the runs that `compare` would make, for the terminal.

    It loads only the shapes of the model, and reads the data.

    Raises:
        QweftError: If anything in the config is wrong.
    """
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
    further = f" (until decided, at most {len(plan.looks[-1])} seeds)" if len(plan.looks) > 1 else ""
    grid = plan.grid if plan.search or plan.halving.finalists else None
    table = runs_plan(plan.title + further, plan.methods, plan.seeds, steps, grid, plan.halving)
    return Group(table, *(Text(line) for line in (too_large_said(plan), halving_said(plan, steps)) if line))


def compare(config: ComparisonConfig, config_yaml: str, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Makes the missing runs and writes the results.

    `config.output` gets:

    - a folder `<method>-<seed>` per run with its adapter and record, and `base` for the untouched model,
    - results.json, report.html, report.md and its pictures, written anew while the runs go on,
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
    with shared_output("qweft compare", config, lambda: _kept(config)):
        return _compare(config, config_yaml, command, begin)


def _folders(config: ComparisonConfig) -> list[Path]:
    output = Path(config.output)
    return [output / BASE, *(run_folder(output, name, seed) for name in config.methods for seed in config.seeds)]


def _kept(config: ComparisonConfig) -> str:
    output, wanted = Path(config.output), _folders(config)
    done = sum((folder / RECORD).is_file() for folder in wanted)
    every = sum(record.parent.name != WINNER for record in output.glob(f"*/{RECORD}"))  # that is a copy of one
    if config.halving.finalists is not None:
        return kept(finished_runs(output) + every, None, "run", config.output)
    searched = len(list((output / FOLDER).glob(f"*/{RECORD}"))) if config.search else 0
    if searched and not done:
        return kept(searched, None, "training", str(output / FOLDER))
    if config.most_seeds is not None:
        return kept(every, None, "run", config.output)
    return kept(done, len(wanted), "run", config.output)


def _compare(config: ComparisonConfig, config_yaml: str, command: str, begin: Callable[[], None]) -> Path:
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
    with closing(context.executor):
        methods = with_matched_time(context, plan.methods, plan.seeds[0])
        if plan.search or plan.halving.finalists is not None:
            _check_runs(context, methods, plan.seeds)
        chosen = _chosen(context, plan, methods, speed, pace, begun)
        plan, environment = chosen.plan, context.environment(command)
        names = [each.name for each in chosen.methods]
        stated = first_stated(context.output, names, plan.looks, plan.equivalent_within, plan.reference)

        def judged(runs: Sequence[Run], looks: Sequence[Look]) -> dict[str, Summary]:
            return summarise(runs, plan.reference, plan.equivalent_within, looks, plan.recommend)

        asked, seen = chosen.methods, set[int]()  # the seeds of the looks that are begun

        def write(
            before: Sequence[Run], total: int, looks: Sequence[Look], made: Sequence[Run], is_last: bool = False
        ) -> Path:
            if not make_room(context.output, names, seen, () if is_last else plan.looks[-1], console.say):
                return context.output / REPORT  # of looks that may come again
            runs = [*before, *made]
            summary = judged(runs, looks)
            found = recommend(summary, chosen.rungs, plan.untried, chosen.at_end) if plan.recommend else None
            results = {
                "runs": [run.to_json() for run in runs],
                "planned_runs": total,
                "summary": {name: entry.to_json() for name, entry in summary.items()},
                "environment": environment,
                "step_times": {"alone": measured_alone(runs), "cpu_by_others": most_by_others(runs)},
                **({} if chosen.search is None else {"search": chosen.search}),
                **({"halving": [rung.to_json() for rung in chosen.rungs]} if chosen.rungs else {}),
                **({} if found is None else {"recommendation": found.to_json()}),
                **({} if pace is None or pace.rows is None else {"judged_rows": list(pace.rows)}),
                **stated,
            }
            return write_report(results, config_yaml, plan.title, context.output)

        runs: list[Run] = []
        looks: list[Look] = []
        for seeds, look in zip(plan.looks, plan.judging, strict=True):
            looks.append(look)
            planned = schedule(context, asked, seeds, speed, plan.workers or 1, runs)
            seen.update(seeds)
            total = len(runs) + len(planned.runs)
            runs += _make_runs(context, planned, partial(write, tuple(runs), total, tuple(looks[:-1] or looks)))
            seen_so_far = judged(runs, looks)
            left = undecided(seen_so_far)
            if look.planned > 1:
                console.say(f"look {look.number} of {look.planned}: {_open_said(chosen.methods, left, seen_so_far)}")
            asked = [method for method in chosen.methods if method.name in left]
            if not asked:
                break
    report, summary = write((), len(runs), looks, runs, is_last=True), judged(runs, looks)
    print_summary(summary, searches(chosen.search), console)
    found = recommend(summary, chosen.rungs, plan.untried, chosen.at_end) if plan.recommend else None
    verdicts = [*findings(summary), *claimed(summary, found is not None)]
    doubts = doubts_said(with_doubts(verdicts, searches(chosen.search)))
    said = (found.text if found else conclusion(summary), doubts, changed_said(stated))
    lines = [load_said(runs), f"report: {report}", *_took(begun, plan.budget.seconds)]
    for line in [*lines, "", " ".join(filter(None, said))]:
        console.say(line)
    _say_winner(context, found)
    return report


@dataclass(frozen=True)
class _Chosen:
    """What is settled before the runs that are judged: the methods with their rates, and the plan with its reference.

    Args:
        methods: Those that make the runs.
        plan: The plan.
        search: The searches for learning rates; `None` without one.
        rungs: The halving; empty without one.
    """

    methods: Sequence[Method]
    plan: Plan
    search: dict[str, Any] | None = None
    rungs: Sequence[Rung] = ()

    @property
    def at_end(self) -> set[str]:
        """Names of the methods whose best rate was the lowest or the highest that was tried."""
        return {name for name, each in (self.search or {}).items() if each.get("at_end_of_grid")}


def _chosen(
    context: Context, plan: Plan, methods: Sequence[Method], speed: float | None, pace: Pace | None, begun: float
) -> _Chosen:
    """Makes the halving, or else the search, if the plan has one."""
    check_steps(plan, methods, planned_steps(context.settings.training, context.data.train))
    if plan.halving.finalists is None:
        if not plan.search:
            return _Chosen(methods, plan)
        if any(method.searched for method in methods):
            context.console.say(search_said(context, methods, plan.grid, speed, plan.workers or 1))
        found, search = with_searched_rates(context, methods, plan.grid)
        return _Chosen(found, plan, search)

    def after(rung: Rung, rungs: int) -> None:
        spent = f"; {duration(time.perf_counter() - begun)} since the start"
        limit = plan.budget.seconds
        context.console.say(rung.said(rungs) + spent + (f", of {duration(limit)}" if limit else ""))

    finalists, search, rungs = with_halving(context, methods, plan.grid, plan.halving, after)
    plan = replace(plan, reference=rungs[-1].leader)  # before anything is judged on the test rows
    if pace is not None:
        plan = with_seeds(context, plan, finalists, pace)
    return _Chosen(finalists, plan, search if plan.search else None, rungs)


def _took(begun: float, budget: float | None) -> list[str]:
    """Returns a line on the time since the start, in a comparison with a budget of seconds."""
    if budget is None:
        return []
    return [f"took {duration(time.perf_counter() - begun)} since the start, of a budget of {duration(budget)}"]


def _say_winner(context: Context, found: Recommendation | None) -> None:
    """Keeps the winner's adapter, if there is one, and says what to do with it."""
    adapter = None if found is None else keep_winner(context.output, found, context.console.say)
    if adapter is not None:
        quantization = context.settings.model.quantization
        for line in ["", f"winner: {adapter}", *commands_for(adapter, context.loaded, quantization)]:
            context.console.say(line)


def _open_said(methods: Sequence[Method], left: Collection[str], summary: Mapping[str, Summary]) -> str:
    """Returns the methods whose questions are still open, as text, or else why seeds decide no more of them."""
    names = [method.name for method in methods if method.name in left]
    if names:
        return f"not decided for {', '.join(names)}"
    pairs = [paired(summary[one], summary[other]) for one, other in questions(summary)]
    reasons = dict.fromkeys(pair.reason for pair in pairs if pair.direction == "not decided")
    return f"no seed decides what is left: {'; '.join(reasons)}" if reasons else "every question is decided"


def _check_runs(context: Context, methods: Sequence[Method], seeds: Sequence[int]) -> None:
    """Refuses runs of another configuration before a search or a halving, which may take hours.

    A run whose rate is yet to be found may have any.

    Raises:
        QweftError: As `run_trial`.
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
    """Returns the runs in their order, whichever finishes first, and writes the report of all finished ones meanwhile.

    Args:
        context: What the runs share.
        planned: The runs.
        write: Writes the report of some runs.
    """
    tasks = [partial(_make_run, context, method, seed) for method, seed in planned.runs]
    runs: dict[int, Run] = {}
    begun, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    written = -SECONDS_BETWEEN_REPORTS
    for place, each in enumerate(planned.runs):
        finished_trial(context, *each, planned.folder(place))  # again, with the rates that were found
    for line in planned.described():
        context.console.say(line)
    for place, run in done_by_any(tasks, context.executor.wait):
        runs[place] = run
        seconds = time.perf_counter() - begun
        made = [at for at, each in runs.items() if each.started is not None and each.started >= started]  # by anyone
        left = planned.left(made, seconds)
        print_run(run, context.settings.evaluation.split, (len(runs), len(tasks)), seconds, left, context.console)
        if place in made and len(runs) < len(tasks) and seconds - written >= SECONDS_BETWEEN_REPORTS:
            _report_so_far(context, planned, write, is_first=written < 0)
            written = time.perf_counter() - begun
    return [runs[place] for place in sorted(runs)]


def _report_so_far(context: Context, planned: Schedule, write: Callable[[Sequence[Run]], Path], is_first: bool) -> None:
    """Writes the report of the runs that are finished, whoever made them; a fault is told, and the runs go on."""
    try:
        found = [finished_trial(context, *run, planned.folder(place)) for place, run in enumerate(planned.runs)]
        report = write([run for run in found if run is not None])
    except Exception as fault:  # hours of training do not end for a picture; the last report raises what is wrong
        context.console.say(f"the report so far could not be written ({type(fault).__name__}: {fault}); the runs go on")
        return
    if is_first:
        context.console.say(f"report so far, written anew while the runs go on: {report}")


def _make_run(context: Context, method: Method | None, seed: int) -> Run | None:
    return run_trial(context, method, seed, run_folder(context.output, BASE if method is None else method.name, seed))
