"""Each method's learning rate, chosen on the validation rows: `qweft tune`, and before the runs of `qweft compare`."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from qweft.comparison.bench import Bench, set_up
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import Method
from qweft.comparison.search import search, search_table, searched
from qweft.comparison.step_times import with_matched_time
from qweft.files import write_json

FILE = "learning_rates.json"
FOLDER = "search"
"""In a comparison's output: the runs of its search."""


def tune(config: ComparisonConfig, command: str) -> Path:
    """Search the learning rate of every method but those that take over another's (`rate_of`).

    Returns:
        The path of learning_rates.json.

    Raises:
        QweftError: If anything in the config is wrong.
    """
    # `search` and `inspect` belong to the runs of a comparison, of which a search alone makes none
    judging = replace(config.evaluation, split="validation", forgetting=None)
    bench = set_up(replace(config, evaluation=judging, search=False, inspect=False), Console())
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
