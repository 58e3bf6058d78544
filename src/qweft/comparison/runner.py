"""A whole comparison: every method at every seed, then the table, the plot and the page."""

import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.curves import write_png
from qweft.comparison.environment import environment
from qweft.comparison.methods import resolve_methods
from qweft.comparison.page import render_page
from qweft.comparison.results import BASE, Run
from qweft.comparison.summary import summarise
from qweft.comparison.table import markdown_table, print_table
from qweft.comparison.trial import Bench, run_folder, run_trial, set_up
from qweft.comparison.verdicts import verdicts
from qweft.evaluation.loss import held_out_loss
from qweft.files import write_bytes, write_json
from qweft.models.load import load_model
from qweft.training.checks import check_training


def describe(config: ComparisonConfig) -> Table:
    """The runs that `compare` would make, for the terminal; nothing is loaded but shapes.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    check_training(config.training)
    table = Table(title=f"{config.model.name} on {config.data.source}, seeds {', '.join(map(str, config.seeds))}")
    for column in ("method", "parameters", "learning rate", "adapter"):
        table.add_column(column, justify="left" if column in ("method", "adapter") else "right")
    for method in resolve_methods(config, load_model(replace(config.model, device="meta")).model):
        adapter = ", ".join(f"{key} {value}" for key, value in method.adapter.items())
        table.add_row(method.name, f"{method.trainable_parameters:,}", f"{method.learning_rate:g}", adapter)
    return table


def compare(config: ComparisonConfig, config_yaml: str, command: str) -> Path:
    """Run what is not finished yet and write the results.

    In `config.output`: a folder `<method>-<seed>` for each run with its adapter and record, results.json, table.md,
    loss_curves.png and report.html. All methods have the same rows in the same order at each seed, and the same steps.

    Returns:
        The path of report.html.

    Raises:
        QweftError: If anything in the config is wrong, or the folder holds runs of another configuration.
    """
    console = Console()
    bench = set_up(config, console)
    plan = [(None, config.seeds[0]), *((method, seed) for seed in config.seeds for method in bench.methods)]
    runs: list[Run] = []
    begun = time.perf_counter()
    for number, (method, seed) in enumerate(plan, 1):
        name = BASE if method is None else method.name
        run = run_trial(bench, method, seed, config.evaluation, run_folder(bench.output, name, seed))
        runs.append(run)
        loss = "not a number" if run.eval_loss is None else f"{run.eval_loss:.4f}"
        console.print(
            f"[{number}/{len(plan)}] {name}, seed {seed}: {config.evaluation.split} loss {loss} "
            f"({time.perf_counter() - begun:.0f} s)",
            highlight=False,
            markup=False,
        )
    _check_base_untouched(bench, runs[0])
    return _write(bench, runs, config_yaml, command)


def _check_base_untouched(bench: Bench, base: Run) -> None:
    """After all adapters have come and gone, the base model must judge as it did at first."""
    config = bench.config.evaluation
    rows = bench.data.test if config.split == "test" else bench.data.validation
    again = held_out_loss(bench.loaded.model, rows, bench.loaded.tokenizer.pad_token_id, config.batch_size)
    if base.eval_loss is None or abs(again.loss - base.eval_loss) > 1e-4 * abs(base.eval_loss):
        raise RuntimeError(f"the base model changed during the comparison: loss {base.eval_loss}, now {again.loss}")


def _write(bench: Bench, runs: list[Run], config_yaml: str, command: str) -> Path:
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
    }
    output = bench.output
    write_json(output / "results.json", results)
    lines = verdicts(summary)
    text = [markdown_table(summary), "", *(f"- {line}" for line in lines), ""]
    write_bytes(output / "table.md", "\n".join(text).encode())
    write_png(runs, output / "loss_curves.png")
    title = f"{bench.config.model.name} on {bench.config.data.source}"
    write_bytes(output / "report.html", render_page(results, config_yaml, title).encode())
    print_table(summary, bench.console)
    for line in lines:
        bench.console.print(f"- {line}", highlight=False, markup=False)
    return output / "report.html"
