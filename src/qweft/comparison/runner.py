"""`compare`: plan, prepare, choose, run, judge, report. Each takes what the one before made."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.judge.halving import Rung
from qweft.comparison.judge.statistics import InterimAnalysis
from qweft.comparison.judge.summarise import summarise, undecided_methods
from qweft.comparison.judge.summary import Summary
from qweft.comparison.methods import Method
from qweft.comparison.plan import Plan, resolve
from qweft.comparison.report.decision import recommend
from qweft.comparison.report.table import halving_said, print_run, print_summary, runs_plan, untried_said
from qweft.comparison.report.write import PAGE, write_report
from qweft.comparison.results import BASE, Run
from qweft.comparison.results_file import stated
from qweft.comparison.run.context import Context
from qweft.comparison.run.set_up import load_rows, set_up
from qweft.comparison.run.trial import finished_trial, run_folder, run_trial
from qweft.comparison.run.workers import shared_output, trials
from qweft.comparison.search.pacing import pace_said, with_pace
from qweft.comparison.search.tune import with_halving, with_searched_rates
from qweft.comparison.timing import load_said
from qweft.comparison.winner import commands_for, keep_winner
from qweft.core.files import write_bytes
from qweft.core.output import Console
from qweft.core.text import many
from qweft.training.loop import planned_steps

CONFIG = "config.yaml"
"""What was compared, in the output folder; a file of that name that is there stays."""
SECONDS_BETWEEN_REPORTS = 10.0
"""Shortest time between two reports while runs are made; drawing one takes a second."""


@dataclass(frozen=True)
class Prepared:
    """A comparison that is ready to run: what the runs share, and the plan with its methods."""

    context: Context
    plan: Plan
    command: str
    config_yaml: str
    search: Mapping[str, Any] = field(default_factory=dict)  # searches for learning rates
    rungs: Sequence[Rung] = ()  # the halving, if any


def describe(config: ComparisonConfig) -> Group:
    """Return the runs that `compare` would make; it loads only the shapes of the model, and reads the data."""
    plan, steps = resolve(config), None
    if plan.shapes.tokenizer is not None:
        steps = planned_steps(config.training, load_rows(config, plan.shapes)[0].train)
    lines = filter(None, (untried_said(plan), halving_said(plan, steps)))
    return Group(runs_plan(plan, steps), *map(Text, lines))


def compare(config: ComparisonConfig, config_yaml: str, command: str, begin: Callable[[], None] = lambda: None) -> Path:
    """Make the missing runs and write the results; return the path of report.html. `begin` may start workers."""
    with shared_output("qweft compare", config):
        it = prepare(config, config_yaml, command, begin)
        with closing(it.context):
            it = choose(it)
            runs, analyses = run(it)
        report(it, runs, analyses)
    return it.context.output / PAGE


def prepare(config: ComparisonConfig, config_yaml: str, command: str, begin: Callable[[], None]) -> Prepared:
    """Resolve the config, load model and data, and set the pace that a budget of time allows."""
    begun, plan = time.perf_counter(), resolve(config)
    context = set_up(config, Console())
    if not os.path.lexists(context.output / CONFIG):
        write_bytes(context.output / CONFIG, config_yaml.encode())
    if plan.budget.seconds is None:
        said = halving_said(plan, context.steps)
    else:
        context, plan, pace = with_pace(context, plan, begun)
        said = pace_said(pace, plan)
    for line in filter(None, (untried_said(plan), said)):
        context.console.say(line)
    begin()
    return Prepared(context, plan, command, config_yaml)


def choose(it: Prepared) -> Prepared:
    """Return it with the methods and rates that the halving, or else the search, leaves: on validation rows alone."""
    config = it.plan.config
    if config.halving.finalists is not None:
        plan, search, rungs = with_halving(it.context, it.plan)
        return replace(it, plan=plan, search=search, rungs=rungs)
    if config.search:
        plan, search = with_searched_rates(it.context, it.plan)
        return replace(it, plan=plan, search=search)
    return it


def run(it: Prepared) -> tuple[list[Run], list[InterimAnalysis]]:
    """Make runs until every question is decided; return them with the interim analyses that were made."""
    runs: list[Run] = []
    analyses: list[InterimAnalysis] = []
    asked: Sequence[Method] = it.plan.methods
    for seeds, analysis in zip(it.plan.analysis_seeds, it.plan.analyses, strict=True):
        runs = _make_runs(it, asked, seeds, runs, analyses or [analysis])
        analyses.append(analysis)
        summary = judge(it, runs, analyses)
        names = undecided_methods(summary)
        asked = [method for method in it.plan.methods if method.name in names]
        if analysis.planned > 1:
            left = f"not decided for {', '.join(each.name for each in asked)}" if asked else "no seed decides more"
            it.context.console.say(f"interim analysis {analysis.number} of {analysis.planned}: {left}")
        if not asked:
            break
    return runs, analyses


def _make_runs(
    it: Prepared,
    methods: Sequence[Method],
    seeds: Sequence[int],
    before: Sequence[Run],
    analyses: Sequence[InterimAnalysis],
) -> list[Run]:
    """Return the runs with those before: the base model's first, then every method's at every seed."""
    context, had = it.context, {(run.method, run.seed) for run in before}
    wanted: list[tuple[Method | None, int]] = [] if before else [(None, context.first_seed)]
    wanted += [(method, seed) for seed in seeds for method in methods if (method.name, seed) not in had]
    planned = {
        run_folder(context.output, method.name if method else BASE, seed): (method, seed) for method, seed in wanted
    }
    for folder, trial in planned.items():
        finished_trial(context, *trial, folder)  # refuses runs of another configuration before any is made
    context.console.say(
        f"{many(len(planned), 'run')} of {many(len(methods), 'method')} at "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    )
    runs: dict[Path, Run] = {}
    begun = written = time.perf_counter()
    for folder, made in trials(
        lambda: [folder for folder in planned if folder not in runs],
        lambda folder: run_trial(context, *planned[folder], folder),
        context.wait,
    ):
        runs[folder], now = made, time.perf_counter()
        print_run(made, context.config.evaluation.split, (len(runs), len(planned)), now - begun, context.console)
        if len(runs) < len(planned) and now - written >= SECONDS_BETWEEN_REPORTS:
            so_far = [*before, *(runs[folder] for folder in planned if folder in runs)]
            write_report(_results(it, so_far, analyses, len(before) + len(planned)), context.output)
            written = time.perf_counter()
    return [*before, *(runs[folder] for folder in planned)]


def judge(it: Prepared, runs: Sequence[Run], analyses: Sequence[InterimAnalysis]) -> dict[str, Summary]:
    """Return the summary of each method, judged by the interim analyses."""
    config = it.plan.config
    return summarise(runs, it.plan.reference, config.equivalent_within, analyses, config.recommend)


def report(it: Prepared, runs: Sequence[Run], analyses: Sequence[InterimAnalysis]) -> None:
    """Write the report of all runs, say the answer, and keep the winner."""
    output, say = it.context.output, it.context.console.say
    content = write_report(_results(it, runs, analyses, len(runs)), output)
    print_summary(content.summary, content.search, it.context.console)
    say(load_said(runs))
    say(f"report: {output / PAGE}\n\n{content.conclusion}")
    if content.recommendation is None:
        return
    if adapter := keep_winner(output, content.recommendation, say):
        for line in ["", f"winner: {adapter}", *commands_for(adapter)]:
            say(line)


def _results(it: Prepared, runs: Sequence[Run], analyses: Sequence[InterimAnalysis], total: int) -> dict[str, Any]:
    """Return the content of results.json."""
    plan, summary, recommendation = it.plan, judge(it, runs, analyses), None
    if plan.config.recommend:
        recommendation = recommend(summary, it.rungs, [each.name for each in plan.untried])
    stated_plan = {
        "margin": plan.config.equivalent_within,
        "reference": plan.reference,
        "methods": sorted(method.name for method in plan.methods),
        "seeds": [sorted(seeds) for seeds in plan.analysis_seeds],
    }
    results = {
        "title": plan.title,
        "runs": [run.to_json() for run in runs],
        "config_yaml": it.config_yaml,
        "planned_runs": total,
        "summary": {name: entry.to_json() for name, entry in summary.items()},
        "environment": it.context.environment(it.command),
        "search": it.search or None,
        "halving": [asdict(rung) for rung in it.rungs] or None,
        "recommendation": recommendation and asdict(recommendation),
        **stated(it.context.output, stated_plan),
    }
    return {name: value for name, value in results.items() if value is not None}
