"""`compare`: plan, prepare, choose, run, judge, report. Each takes what the one before made."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.context import Context
from qweft.comparison.decision import recommend
from qweft.comparison.halving import Rung
from qweft.comparison.methods import Method
from qweft.comparison.pacing import Timed, pace_said, with_pace, with_seeds
from qweft.comparison.plan import Plan, resolve
from qweft.comparison.report.write import PAGE, write_report
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import stated
from qweft.comparison.set_up import load_rows, set_up
from qweft.comparison.statistics import Look
from qweft.comparison.summarise import summarise, undecided
from qweft.comparison.summary import Summary
from qweft.comparison.table import halving_said, print_run, print_summary, runs_plan, too_large_said
from qweft.comparison.timing import duration, load_said, measured_alone, most_by_others
from qweft.comparison.trial import finished_trial, run_folder, run_trial
from qweft.comparison.tune import with_halving, with_searched_rates
from qweft.comparison.winner import card_of, commands_for, keep_winner
from qweft.comparison.wording import kind_said
from qweft.comparison.workers import shared_output, trials
from qweft.output import Console
from qweft.text import many
from qweft.training.loop import planned_steps

SECONDS_BETWEEN_REPORTS = 10.0
"""Shortest time between two reports while runs are made; drawing one takes a second."""


@dataclass(frozen=True)
class Prepared:
    """A comparison that is ready to run: what the runs share, and the plan with its methods."""

    context: Context
    plan: Plan
    command: str
    config_yaml: str
    begun: float
    timed: Timed | None = None  # what the budget of time allows
    search: dict[str, Any] | None = None  # searches for learning rates
    rungs: Sequence[Rung] = ()  # the halving, if any


def describe(config: ComparisonConfig) -> Group:
    """Return the runs that `compare` would make; it loads only the shapes of the model, and reads the data."""
    plan, steps = resolve(config), None
    if plan.shapes.tokenizer is not None:
        steps = planned_steps(config.training, load_rows(config, plan.shapes)[0].train)
    lines = filter(None, (too_large_said(plan), halving_said(plan, steps)))
    return Group(runs_plan(plan, steps), *map(Text, lines))


def compare(config: ComparisonConfig, config_yaml: str, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Make the missing runs and write the results; return the path of report.html. `begin` may start workers."""
    with shared_output("qweft compare", config):
        it = prepare(config, config_yaml, command, begin)
        with closing(it.context):
            it = choose(it)
            runs, looks = run(it)
        report(it, runs, looks)
    return it.context.output / PAGE


def prepare(config: ComparisonConfig, config_yaml: str, command: str, begin: Callable[[], None]) -> Prepared:
    """Resolve the config, load model and data, and set the pace that a budget of time allows."""
    begun, plan, timed = time.perf_counter(), resolve(config), None
    context = set_up(config, Console())
    if plan.too_large:
        context.console.say(too_large_said(plan))
    if plan.budget.seconds is not None:
        context, plan, timed = with_pace(context, plan, time.perf_counter() - begun)
        context.console.say(pace_said(timed.pace, plan))
    elif plan.halving.finalists is not None:
        context.console.say(halving_said(plan, context.steps))
    begin()
    return Prepared(context, plan, command, config_yaml, begun, timed)


def choose(it: Prepared) -> Prepared:
    """Return it with the methods and rates that the halving, or else the search, leaves: on validation rows alone."""
    context, plan = it.context, it.plan
    if plan.halving.finalists is None:
        if not plan.config.search:
            return it
        methods, search = with_searched_rates(context, plan.methods, plan.grid)
        return replace(it, plan=replace(plan, methods=tuple(methods)), search=search)

    def after(rung: Rung, rungs: int) -> None:
        limit = f", of {duration(plan.budget.seconds)}" if plan.budget.seconds else ""
        context.console.say(f"{rung.said(rungs)}; {duration(time.perf_counter() - it.begun)} since the start{limit}")

    finalists, searches, rungs = with_halving(context, plan, after)
    # the reference is fixed before anything is judged on the test rows
    chosen = replace(plan, methods=tuple(finalists), reference=rungs[-1].leader)
    if it.timed is not None:
        chosen = with_seeds(context, chosen, it.timed)
    return replace(it, plan=chosen, search=searches if plan.config.search else None, rungs=rungs)


def run(it: Prepared) -> tuple[list[Run], list[Look]]:
    """Make the runs of each look, until every question is decided; return them with the looks that were made."""
    runs: list[Run] = []
    looks: list[Look] = []
    asked: Sequence[Method] = it.plan.methods
    for seeds, look in zip(it.plan.looks, it.plan.judging, strict=True):
        runs = _make_runs(it, asked, seeds, runs, looks or [look])
        looks.append(look)
        summary = judge(it, runs, looks)
        names = undecided(summary)
        asked = [method for method in it.plan.methods if method.name in names]
        if look.planned > 1:
            left = f"not decided for {', '.join(each.name for each in asked)}" if asked else "no seed decides more"
            it.context.console.say(f"look {look.number} of {look.planned}: {left}")
        if not asked:
            break
    return runs, looks


def _make_runs(
    it: Prepared, methods: Sequence[Method], seeds: Sequence[int], before: Sequence[Run], looks: Sequence[Look]
) -> list[Run]:
    """Return the runs with those before: the base model's first, then every method's at every seed."""
    context, first = it.context, it.context.first_seed
    had = {(run.method, run.seed) for run in before}
    planned: list[tuple[Method | None, int]] = [(None, first)] if first in seeds and (BASE, first) not in had else []
    base = "the base model, and " if planned else ""
    planned += [(method, seed) for seed in seeds for method in methods if (method.name, seed) not in had]
    folders = [run_folder(context.output, method.name if method else BASE, seed) for method, seed in planned]
    places = range(len(planned))
    waiting = {at for at in places if finished_trial(context, *planned[at], folders[at]) is None}
    context.console.say(
        f"{many(len(planned), 'run')}: {base}{many(len(methods), 'method')} at "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    )
    width = max(len(method.name) for method in methods)
    for method in methods:
        size = many(method.trainable_parameters, "trained parameter")
        context.console.say(f"  {method.name:<{width}}  {kind_said(method.adapter)}: {size}")
    runs: dict[int, Run] = {}
    begun, written = time.perf_counter(), -SECONDS_BETWEEN_REPORTS
    for place, made in trials(
        lambda: [at for at in places if at not in runs],
        lambda at: run_trial(context, *planned[at], folders[at]),
        context.wait,
    ):
        runs[place] = made
        seconds = time.perf_counter() - begun
        trained = [at for at in waiting & runs.keys() if planned[at][0] is not None]  # the base model's takes no time
        left = seconds / len(trained) * len(waiting - runs.keys()) if trained else None
        place_of = len(runs), len(planned)
        print_run(made, context.config.evaluation.split, place_of, seconds, left or None, context.console)
        if place in waiting and len(runs) < len(planned) and seconds - written >= SECONDS_BETWEEN_REPORTS:
            so_far = [*before, *(runs[at] for at in sorted(runs))]
            write_report(_results(it, so_far, looks, len(before) + len(planned)), context.output)
            if written < 0:
                context.console.say(f"report so far, updated after each run: {context.output / PAGE}")
            written = time.perf_counter() - begun
    return [*before, *(runs[at] for at in sorted(runs))]


def judge(it: Prepared, runs: Sequence[Run], looks: Sequence[Look]) -> dict[str, Summary]:
    """Return the summary of each method, with the looks that judge it."""
    config = it.plan.config
    return summarise(runs, it.plan.reference, config.equivalent_within, looks, config.recommend)


def report(it: Prepared, runs: Sequence[Run], looks: Sequence[Look]) -> None:
    """Write the report of all runs, say the answer, and keep the winner."""
    output, say, budget = it.context.output, it.context.console.say, it.plan.budget.seconds
    content = write_report(_results(it, runs, looks, len(runs)), output)
    print_summary(content.summary, content.search, it.context.console)
    say(load_said(runs))
    if budget is not None:
        say(f"took {duration(time.perf_counter() - it.begun)}, of a budget of {duration(budget)}")
    say(f"report: {output / PAGE}\n\n{content.conclusion}")
    if content.recommendation is None:
        return
    card = card_of(it.context, runs, content.recommendation)
    if adapter := keep_winner(output, content.recommendation, say, card):
        for line in ["", f"winner: {adapter}", *commands_for(adapter, it.context.loaded)]:
            say(line)


def _results(it: Prepared, runs: Sequence[Run], looks: Sequence[Look], total: int) -> dict[str, Any]:
    """Return the content of results.json."""
    plan, summary, recommendation = it.plan, judge(it, runs, looks), None
    if plan.config.recommend:
        at_end = {name for name, each in (it.search or {}).items() if each.get("at_end_of_grid")}
        recommendation = recommend(summary, it.rungs, plan.untried, at_end)
    stated_plan = {
        "margin": plan.config.equivalent_within,
        "reference": plan.reference,
        "methods": sorted(method.name for method in plan.methods),
        "seeds": [sorted(seeds) for seeds in plan.looks],
    }
    optional = {
        "search": it.search,
        "halving": [asdict(rung) for rung in it.rungs] or None,
        "recommendation": recommendation and asdict(recommendation),
    }
    return {
        "title": plan.title,
        "runs": [run.to_json() for run in runs],
        "config_yaml": it.config_yaml,
        "planned_runs": total,
        "summary": {name: entry.to_json() for name, entry in summary.items()},
        "environment": it.context.environment(it.command),
        "step_times": {"alone": measured_alone(runs), "cpu_by_others": most_by_others(runs)},
        **{name: value for name, value in optional.items() if value is not None},
        **stated(it.context.output, stated_plan),
    }
