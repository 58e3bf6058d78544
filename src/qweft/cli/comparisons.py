"""Commands around many trainings: choose an adapter for data, compare, report, search rates and configurations."""

import os
import shlex
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qweft.cli.command import TRUST, Command
from qweft.cli.terminal import show, show_adapter
from qweft.core.errors import QweftError
from qweft.core.files import named_path, write_bytes

if TYPE_CHECKING:
    from qweft.cli.call import Call
    from qweft.comparison.config import ComparisonConfig
    from qweft.comparison.search.space import TuneConfig
    from qweft.training.config import RunConfig

MOST_SEEDS = 12
"""Cap of seeds of `--until-decided` without a cap in the config."""
LEAST_STEP_SECONDS = 1e-3
"""Step time that is reckoned with at least; a run of too few steps has none."""
CHOOSING = ("model", "preset", "budget", "output")
"""Options on which the config of data depends; all others change it afterwards."""
IGNORED = (
    "halving.finalists", "halving.rungs", "recommend", "inspect", "most_seeds", "must_ship", "search",
)  # fmt: skip
"""Options of a comparison that would be expected to change a search, and do not."""
OF_RATES = ("rates", "search_seeds", "search_rates")
OF_SIZES = ("budget", "trials", "at_once")
"""Options of `qweft tune` that only the search for learning rates reads, or only the search over sizes."""


def _workers(call: "Call", config: Any) -> AbstractContextManager[Any]:
    """Return the context in which the processes of a command share an output folder.

    PyTorch must be imported within it, as the threads of each process are set before.
    """
    from qweft.comparison.run.workers import local_workers

    return local_workers([call.command.name, *call.argv], config.executor, config.workers, Path(config.output))


@Command(
    "init",
    "write the config by which compare finds the adapter for your data and model",
    "Write the config with which `qweft compare DATA` answers which adapter to use, with a comment on each section: "
    "for those who want to change it first.",
    "qweft init my.csv --budget 20min,200k --output my.yaml",
    target="DATA",
    target_help="The data: a file (.csv, .jsonl, .json, .parquet, .txt), a folder of them, embedded:NAME, or a hub id.",
    flags=TRUST,
    values={"output": ("FILE", "The config that is written; by default the data's name with .yaml, in this folder.")},
    config="qweft.comparison.search.starter:CompareOptions",
    unused=("output",),
)
def _init(call: "Call") -> None:
    from qweft.comparison.checks import check_start
    from qweft.comparison.search.starter import commented, is_config, short_name

    source = call.targets[0]
    if is_config(source):
        raise QweftError(f"qweft init takes data, and {source} is a config; run it with qweft compare {source}")
    config, tree = comparison_of(call)
    check_start(config)
    path = named_path(call.values.get("output") or f"{short_name(source)}.yaml")
    if not is_config(path.name):
        raise QweftError(f"--output {path}: the name of a config ends in .yaml")
    if os.path.lexists(path):
        raise QweftError(f"{path} is there already; give another --output, or remove it")
    write_bytes(path, commented(tree).encode())
    show(f"written: {path}, {len(config.methods)} methods, budget {config.budget}")
    show(f"run it: qweft compare {shlex.quote(str(path))}")


@Command(
    "compare",
    "which adapter for these data? or: methods times seeds under one budget, and a report",
    "Run every method at every seed under one budget, judge each on the same test rows, and write a table, plots and a "
    "page to the output folder, from the first finished run on. Finished runs are kept: the same command goes on where "
    "it stopped. With data in the place of a config it answers which adapter to use: it chooses the methods and ends "
    "in one sentence, with the winner's adapter in OUTPUT/winner.",
    "qweft compare my.csv --budget 20min",
    target="CONFIG|DATA",
    target_help="A config, whose name ends in .yaml or .yml, with any of the keys below (`methods` must be in it); or "
    "data: a file (.csv, .jsonl, .json, .parquet, .txt), a folder of them, embedded:NAME, or a hub id. With data, "
    "--model NAME stands for --model.name NAME.",
    flags={
        "dry-run": "List the runs and stop.",
        "train": "Then train the winner in full, as qweft train --from OUTPUT does. A time in --budget is for both, "
        "one half each.",
        "until-decided": f"Set most_seeds to {MOST_SEEDS} if it is none: add seeds until each question is decided.",
        **TRUST,
    },
    values={"methods": ("NAMES", "Compare only these, with commas between: lora,qtha,mpo.")},
    config="qweft.comparison.search.starter:CompareOptions",
)
def _compare(call: "Call") -> None:
    from qweft.comparison.checks import check_start
    from qweft.comparison.search.starter import that_ship
    from qweft.comparison.timing import budget_of

    config = that_ship(comparison_of(call)[0], show)  # without methods that must_ship leaves out
    seconds = budget_of(config.budget).seconds
    trains = "train" in call.flags
    if trains:
        _check_trains_winner(config)
        config = _with_half_the_time(config)
    if "until-decided" in call.flags and config.most_seeds is None:
        config = replace(config, most_seeds=MOST_SEEDS)
    check_start(config, needs_weights=not call.is_dry)

    if call.is_dry:
        from qweft.comparison.runner import describe

        show(describe(config))
        return
    with _workers(call, config) as begin:
        from qweft.cli.parser import dump_yaml
        from qweft.comparison.runner import compare

        compare(config, config_yaml=dump_yaml(config), command=call.line, begin=begin)
    if trains:
        _train_winner(Path(config.output), None if seconds is None else seconds / 2)


def _check_trains_winner(config: "ComparisonConfig") -> None:
    """Check that a comparison names a winner, which this process can train."""
    if not config.recommend:
        raise QweftError("--train trains the winner, and this config names none; set recommend: true")
    if config.executor != "local" or config.workers not in (None, 1):
        raise QweftError("--train is for one process; leave --workers and --executor out, or run qweft train --from")


def _with_half_the_time(config: "ComparisonConfig") -> "ComparisonConfig":
    """Return the comparison with half of its time, of which the training of the winner gets the rest."""
    from qweft.comparison.timing import budget_of

    limits = budget_of(config.budget)
    if limits.seconds is None:
        return config
    budget = f"{limits.seconds // 2}s"
    if limits.parameters is not None:
        budget += f",{limits.parameters} parameters"
    return replace(config, budget=budget)


def comparison_of(call: "Call") -> tuple["ComparisonConfig", dict[str, Any]]:
    """Return the comparison, and for data the keys of the config that they stand for."""
    from qweft.comparison.search.starter import is_config

    names = None
    if "methods" in call.values:
        names = list(dict.fromkeys(name.strip() for name in call.values["methods"].split(",")))
    if is_config(call.targets[0]):
        return _comparison_of_file(call, names), {}
    return _comparison_of_data(call, names)


def _comparison_of_file(call: "Call", names: list[str] | None) -> "ComparisonConfig":
    """Return the comparison of a config file, of its named methods alone if some are named."""
    from qweft.comparison.config import ComparisonConfig

    file = call.targets[0]
    if any(name == "preset" for name, _ in call.options):
        raise QweftError(f"--preset chooses the methods for data, and {file} is a config, which states its own")
    config: ComparisonConfig = call.config(ComparisonConfig)
    if not names:
        return config
    for name in names:
        if name not in config.methods:
            raise QweftError(f"--methods {name}: {file} has {', '.join(config.methods)}")
    methods = {name: config.methods[name] for name in names}
    reference = config.reference if config.reference in names else names[0]
    return replace(config, methods=methods, reference=reference)


def _comparison_of_data(call: "Call", names: list[str] | None) -> tuple["ComparisonConfig", dict[str, Any]]:
    """Return the comparison that data alone stand for, and the keys of its config."""
    from qweft.comparison.config import ComparisonConfig
    from qweft.comparison.search.starter import CompareOptions, candidates_of, starter
    from qweft.core.reader import build

    source = call.targets[0]
    choosing = []
    changing = []
    for option in call.options:
        section = option[0].partition(".")[0]
        if section in CHOOSING:
            choosing.append(option)
        else:
            changing.append(option)

    # the model, the preset and the budget decide which methods there are; all else changes the config made of them
    chosen = replace(call, options=choosing).given()
    options: CompareOptions = build(CompareOptions, {"methods": {}, **chosen}, "command line")
    preset = options.preset or "quick"
    tree = starter(source, options.model, preset, options.budget, chosen.get("output"), names)
    tree["model"].update(chosen.get("model") or {})
    unfit = [name for name in candidates_of(preset, names) if name not in tree["methods"]]
    if unfit:
        show(f"left out for this base model: {', '.join(unfit)}")
    replace(call, options=changing).given(ComparisonConfig, tree)
    return build(ComparisonConfig, tree, source), tree


def _train_winner(output: Path, seconds: float | None) -> None:
    """Train the winner in full, or for as many steps as the time allows."""
    from qweft.cli.call import winner_config
    from qweft.cli.parser import parse
    from qweft.training.config import RunConfig
    from qweft.training.run import train

    config = parse(RunConfig, [winner_config(str(output))])
    if seconds is not None:
        config = _with_steps_that_fit(config, output, seconds)
    show_adapter(train(config).adapter_folder)


def _with_steps_that_fit(config: "RunConfig", output: Path, seconds: float) -> "RunConfig":
    """Return the winner's run with as many steps as fit into the time, by the pace of its run in the comparison."""
    from qweft.comparison.results_file import WINNER
    from qweft.comparison.run.trial import RECORD, read_record
    from qweft.data.load import load_data
    from qweft.models.load import load_tokenizer
    from qweft.models.resolve import resolve
    from qweft.training.loop import steps_of

    _, run = read_record(output / WINNER / RECORD)
    step_seconds = max(run.step_seconds_median or 0.0, LEAST_STEP_SECONDS)
    steps_that_fit = int(seconds / step_seconds)
    rows = load_data(config.data, load_tokenizer(resolve(config.model))).train
    steps = steps_of(config.training, len(rows))
    if steps_that_fit >= steps:
        return config
    show(f"{steps_that_fit} of the {steps} steps of {config.training.epochs:g} epochs fit into the time left")
    most = max(steps_that_fit, config.training.found_in_steps or 1)  # no fewer than it was chosen after
    return replace(config, training=replace(config.training, max_steps=most))


@Command(
    "report",
    "make a comparison's report anew",
    "Make the report of a finished comparison anew: page, Markdown and pictures.",
    "qweft report runs/demo",
    target="RESULTS",
    target_help="Folder of the comparison, as `qweft compare` wrote it, or its results.json.",
    values={"output": ("FOLDER", "Output folder; by default the comparison's own.")},
)
def _report(call: "Call") -> None:
    from qweft.comparison.results_file import RESULTS

    results = Path(call.targets[0])
    file = results / RESULTS if results.is_dir() else results
    if not file.is_file():
        raise QweftError(f"{results}: no {RESULTS} there; give the folder that qweft compare wrote")
    from qweft.comparison.report.write import remake_report

    output = call.values.get("output")
    page = remake_report(results, named_path(output) if output else None)
    show(f"report: {page}")


@Command(
    "tune",
    "find each method's learning rate on the validation rows, or the sizes of one method",
    "Search each method's learning rate by the loss on the validation rows: by factors of two from its own, or among "
    "`rates`. With a `space` in the config, search the sizes of one method instead, and plot loss against parameters. "
    "The test rows are not looked at. Finished trainings are kept: the same command goes on where it stopped, and a "
    "second one beside it shares them. It reads the same config file as `qweft compare`.",
    "qweft tune configs/demo.yaml --output runs/demo-rates",
    target="CONFIG",
    target_help="YAML file with any of the keys below; `methods` must be in it.",
    flags={"dry-run": "List what is searched and the number of trainings, and stop.", **TRUST},
    config="qweft.comparison.search.space:TuneConfig",
    unused=(*IGNORED, "equivalent_within", "reference"),
)
def _tune(call: "Call") -> None:
    config = call.config()
    unread = (*IGNORED, *OF_RATES) if config.space else (*IGNORED, *OF_SIZES)
    for name, _ in call.options:
        if name.replace("-", "_") in unread:
            what = "a search over sizes" if config.space else "a search for learning rates"
            raise QweftError(f"qweft tune makes {what}, on which --{name} has no effect; leave it out")
    if config.space:
        _tune_sizes(call, config)
    else:
        _tune_rates(call, config)


def _tune_rates(call: "Call", config: "TuneConfig") -> None:
    """Search the learning rate of each method."""
    from qweft.comparison.checks import check_start, for_search

    search = for_search(config)
    check_start(search, needs_weights=not call.is_dry)
    if call.is_dry:
        from qweft.comparison.search.tune import describe

        show(describe(search))
        return
    with _workers(call, search) as begin:
        from qweft.comparison.search.tune import tune

        rates = tune(search, command=call.line, begin=begin)
    show(f"rates: {rates}")


def _tune_sizes(call: "Call", config: "TuneConfig") -> None:
    """Search the sizes of one method."""
    from qweft.comparison.search.configurations import check_sizes

    check_sizes(config, needs_weights=not call.is_dry)
    if call.is_dry:
        from qweft.comparison.search.sizes import describe_sizes

        show(describe_sizes(config))
        return
    with _workers(call, config) as begin:
        from qweft.comparison.search.sizes import tune_sizes

        sizes = tune_sizes(config, command=call.line, begin=begin)
    show(f"sizes: {sizes}")
