"""A whole comparison: every method at every seed, then the table, the plot and the page."""

import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qweft.comparison.bench import Bench, set_up
from qweft.comparison.claims import done_by_any
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.findings import findings, in_short
from qweft.comparison.methods import Method, check_comparison, resolve_methods
from qweft.comparison.report.write import write_report
from qweft.comparison.results import BASE, Run, one_at_a_time
from qweft.comparison.step_times import with_matched_time
from qweft.comparison.summarise import summarise
from qweft.comparison.table import forgetting_rows, print_table
from qweft.comparison.trial import run_folder, run_trial
from qweft.comparison.tune import with_searched_rates
from qweft.data.load import load_data
from qweft.environment import environment
from qweft.files import check_can_be_written
from qweft.models.load import load_model
from qweft.plural import many
from qweft.training.loop import steps_of, units


def describe(config: ComparisonConfig) -> Table:
    """The runs that `compare` would make, for the terminal; of the model only shapes are loaded, the data are read.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    check_comparison(config)
    check_can_be_written(Path(config.output))
    shapes = load_model(replace(config.model, device="meta"))
    methods = resolve_methods(config, shapes.model)
    data = load_data(config.data, shapes.tokenizer) if shapes.tokenizer is not None else None
    made = None if data is None else steps_of(config.training, len(units(config.training, data.train)))
    runs = many(len(methods) * len(config.seeds), "run")
    title = f"{config.model.name} on {_data(config)}, seeds {', '.join(map(str, config.seeds))}: {runs}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in ("method", "parameters", "learning rate", "steps"):
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=column == "method")
    table.add_column("adapter", overflow="fold")
    shared = _shared([method.adapter for method in methods])
    if shared and len(methods) > 1:
        table.caption = f"all adapters: {_said(shared)}"
    for method in methods:
        given = config.methods[method.name]
        rate = f"{method.learning_rate:g}"
        if config.search and config.methods[given.rate_of or method.name].learning_rate is None:
            rate = f"as {given.rate_of}" if given.rate_of else "searched"
        steps = f"time of {given.match_time}" if given.match_time else "all" if made is None else f"{made:,}"
        own = {key: value for key, value in method.adapter.items() if len(methods) == 1 or key not in shared}
        table.add_row(method.name, f"{method.trainable_parameters:,}", rate, steps, _said(own))
    return table


def _data(config: ComparisonConfig) -> str:
    """The data in words: where they were learned, and where judged if elsewhere."""
    judged = config.data.source_of(config.evaluation.split)
    return config.data.source + (f", judged on {judged}" if judged != config.data.source else "")


def _plain_table(rows: list[tuple[str, ...]]) -> Table:
    """Rows of text, their titles first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    for place, title in enumerate(rows[0]):
        table.add_column(Text(title), justify="left" if place == 0 else "right", overflow="fold")
    for row in rows[1:]:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _shared(adapters: list[dict[str, Any]]) -> dict[str, Any]:
    """What all specifications say alike."""
    return {
        key: value
        for key, value in adapters[0].items()
        if all(key in other and other[key] == value for other in adapters)
    }


def _said(adapter: dict[str, Any]) -> str:
    """A specification in words: preset qtha, r 4."""
    texts = {key: " ".join(map(str, value)) if isinstance(value, list) else value for key, value in adapter.items()}
    return ", ".join(f"{key} {text}" for key, text in texts.items())


def compare(config: ComparisonConfig, config_yaml: str, command: str) -> Path:
    """Run what is not finished yet and write the results.

    In `config.output`: a folder `<method>-<seed>` for each run with its adapter and record, results.json, report.html,
    report.md and its pictures; of `search`, a folder of that name with its runs; of `match_time`, step_times.json.
    All methods have the same rows in the same order at each seed, and the same steps unless `match_time` gives
    others. Several processes with one output share the runs; each writes the same results when the last one is there.

    Returns:
        The path of report.html.

    Raises:
        QweftError: If anything in the config is wrong, or the folder holds runs of another configuration.
    """
    console = Console()
    bench = set_up(config, console)
    with closing(bench.executor):
        runs, bench, search = _made(bench)
    return _write(bench, runs, search, config_yaml, command)


def _made(bench: Bench) -> tuple[list[Run], Bench, dict[str, Any] | None]:
    """All runs, the bench with the methods as they were made, and what their search found."""
    config, console = bench.config, bench.console
    bench = replace(bench, methods=with_matched_time(bench))
    methods, search = with_searched_rates(bench)
    bench = replace(bench, methods=methods)
    plan = [(None, min(config.seeds)), *((method, seed) for seed in config.seeds for method in bench.methods)]
    tasks = [partial(_trial, bench, method, seed) for method, seed in plan]
    runs: dict[int, Run] = {}
    begun = time.perf_counter()
    for place, run in done_by_any(tasks, bench.executor.wait):
        runs[place] = run
        loss = "not a number" if run.eval_loss is None else f"{run.eval_loss:.4f}"
        console.print(
            f"[{len(runs)}/{len(plan)}] {run.method}, seed {run.seed}: {config.evaluation.split} loss {loss} "
            f"({time.perf_counter() - begun:.0f} s)",
            highlight=False,
            markup=False,
        )
    return [runs[place] for place in sorted(runs)], bench, search


def _trial(bench: Bench, method: Method | None, seed: int) -> Run | None:
    folder = run_folder(bench.output, BASE if method is None else method.name, seed)
    return run_trial(bench, method, seed, bench.config.evaluation, folder)


def _write(bench: Bench, runs: list[Run], search: dict[str, Any] | None, config_yaml: str, command: str) -> Path:
    summary = summarise(runs, bench.config.reference)
    results = {
        "runs": [run.to_json() for run in runs],
        "summary": {name: entry.to_json() for name, entry in summary.items()},
        "environment": environment(
            model_origin=bench.loaded.source.origin,
            data_fingerprint=bench.data.report.fingerprint,
            command=command,
            device=str(bench.loaded.device),
            dtype=str(bench.loaded.dtype).removeprefix("torch."),
        ),
        "step_times": {"alone": one_at_a_time(runs)},
    }
    if search is not None:
        results["search"] = search
    title = f"{bench.config.model.name} on {_data(bench.config)}"
    report = write_report(results, config_yaml, title, bench.output)
    print_table(summary, bench.console)
    if rows := forgetting_rows(summary):
        bench.console.print(_plain_table(rows))
    for line in in_short(findings(summary)):
        bench.console.print(f"- {line}", highlight=False, markup=False)
    return report
