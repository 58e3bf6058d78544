"""Each method's learning rate, chosen on the validation rows: `qweft tune`, and before the runs of `qweft compare`."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from qweft.comparison.bench import Bench, set_up
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import Method, check_comparison, resolve_methods
from qweft.comparison.search import EXTENSIONS, search, search_table, searched
from qweft.comparison.step_times import with_matched_time
from qweft.data.load import load_data
from qweft.files import check_can_be_written, write_json
from qweft.models.load import load_model
from qweft.plural import many
from qweft.training.loop import steps_of

FILE = "learning_rates.json"
FOLDER = "search"
"""In a comparison's output: the runs of its search."""


def describe(config: ComparisonConfig) -> Group:
    """The trainings that `tune` would make, for the terminal; of the model only shapes are loaded, the data are read.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    config = _judged_on_validation(config)
    check_comparison(config)
    check_can_be_written(Path(config.output))
    shapes = load_model(replace(config.model, device="meta"))
    methods = [m for m in resolve_methods(config, shapes.model) if config.methods[m.name].rate_of is None]
    data = load_data(config.data, shapes.tokenizer) if shapes.tokenizer is not None else None
    rates = sorted({float(rate) for rate in config.rates})
    table = Table(title=f"{config.model.name} on {config.data.source}, judged on its validation rows")
    table.add_column("method")
    table.add_column("parameters", justify="right")
    table.add_column("rates")
    for method in methods:
        table.add_row(method.name, f"{method.trainable_parameters:,}", ", ".join(f"{rate:g}" for rate in rates))
    steps = config.search_steps
    if steps is None and data is not None:
        steps = steps_of(config.training, len(data.train))
    count = len(methods) * len(rates) * config.search_seeds
    said = f"{many(count, 'training')} of {many(steps, 'step') if steps is not None else 'all steps'}" + (
        f"; where the best rate lies at an end of the grid, up to {EXTENSIONS * config.search_seeds} more of a method"
    )
    return Group(table, Text(said))


def _judged_on_validation(config: ComparisonConfig) -> ComparisonConfig:
    """`search` and `inspect` belong to the runs of a comparison, of which a search alone makes none."""
    judging = replace(config.evaluation, split="validation", forgetting=None)
    return replace(config, evaluation=judging, search=False, inspect=False)


def tune(config: ComparisonConfig, command: str) -> Path:
    """Search the learning rate of every method but those that take over another's (`rate_of`).

    Returns:
        The path of learning_rates.json.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    bench = set_up(_judged_on_validation(config), Console())
    path = bench.output / FILE
    with closing(bench.executor):
        methods = [m for m in with_matched_time(bench) if config.methods[m.name].rate_of is None]
        found = search(bench, methods, lambda found: write_json(path, {"command": command, "methods": found}))
    bench.console.print(search_table(found))
    return path


def with_searched_rates(bench: Bench) -> tuple[list[Method], dict[str, Any] | None]:
    """The methods with the learning rates of the search, and what `results["search"]` says; none without a search.

    A method with a learning rate of its own keeps it: {"given": rate}. One that takes over another's says whose:
    {"rate_of": name}.
    """
    config = bench.config
    if not config.search:
        return bench.methods, None
    output = bench.output / FOLDER
    apart = replace(bench, config=replace(config, output=str(output)))
    found = search(apart, searched(config, bench.methods), lambda found: write_json(output / FILE, {"methods": found}))
    if found:
        bench.console.print(search_table(found))
    methods, told = [], {}
    for method in bench.methods:
        source = config.methods[method.name].rate_of
        rate = found[source or method.name]["best"] if (source or method.name) in found else method.learning_rate
        methods.append(replace(method, learning_rate=rate))
        given = {"given": rate} if source is None else {"rate_of": source}
        told[method.name] = found.get(method.name) or {**given, "best": rate, "validation_loss": {}}
    return methods, told
