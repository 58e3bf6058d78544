"""Commands around many trainings: choose an adapter for data, compare, report, search rates and configurations."""

import os
import re
import shlex
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qweft.cli.command import TRUST, Command
from qweft.cli.terminal import show, show_adapter
from qweft.errors import QweftError
from qweft.files import free_name, named_path, write_bytes

if TYPE_CHECKING:
    from qweft.cli.parser import Call
    from qweft.comparison.config import ComparisonConfig

CHOOSING_SHARE = 0.5
"""Share of the time in which `--train` chooses."""
MOST_SEEDS = 12
"""Cap of seeds of `--until-decided` without a cap in the config."""
CHOOSING = ("model", "preset", "budget", "output")
"""Options on which the config of data depends; all others change it afterwards."""
IGNORED = (
    "budget", "halving.finalists", "halving.rungs", "recommend", "inspect", "most_seeds", "must_ship", "search",
)  # fmt: skip
"""Options of a comparison that would be expected to change a search for rates, and do not."""


def _workers(call: "Call", config: Any) -> AbstractContextManager[Any]:
    """Return the context in which the processes of a command share an output folder."""
    from qweft.comparison.workers import local_workers

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
    config="qweft.comparison.starter:InitOptions",
)
def _init(call: "Call") -> None:
    from qweft.comparison.starter import candidates_of, commented, is_config, short_name, starter, unfit_of
    from qweft.data.checks import check_data_config, check_places
    from qweft.models.config import ModelConfig
    from qweft.models.resolve import check_model
    from qweft.schema import build

    source, given = call.targets[0], call.given()
    if is_config(source):
        raise QweftError(f"qweft init takes data, and {source} is a config; run it with qweft compare {source}")
    options = build(call.command.options, given, "command line")
    model = ModelConfig() if options.model is None else ModelConfig(name=options.model)
    data = replace(options.data, source=source)
    check_data_config(data)
    check_places(data)
    if Path(source).exists():  # of the hub nothing is fetched for a config
        from qweft.data.load import read_conversations

        next(read_conversations(replace(data, max_rows=1)), None)  # its format is known
    tree = starter(source, model, options.preset, options.budget)
    check_model(model, needs_weights=False)
    tree["data"].update({**given.get("data", {}), "source": source})
    path = Path(options.output or f"{short_name(source)}.yaml")
    if not is_config(path.name):
        raise QweftError(f"--output {path}: the name of a config ends in .yaml")
    if os.path.lexists(path):
        raise QweftError(f"{path} is there already; give another --output, or remove it")
    command = f"qweft compare {shlex.quote(str(path))}"
    write_bytes(path, commented(tree, command).encode())
    _say_unfit(unfit_of(model, candidates_of(options.preset)))
    show(f"written: {path}, {len(tree['methods'])} methods, budget {tree['budget']}\nrun it: {command}")


def _say_unfit(names: list[str]) -> None:
    if names:
        show(f"left out, as they do not go with this base model: {', '.join(names)}")


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
    config="qweft.comparison.starter:CompareOptions",
)
def _compare(call: "Call") -> None:
    from qweft.comparison.starter import that_ship
    from qweft.comparison.timing import budget_of

    begun, trains = time.perf_counter(), "train" in call.flags
    config, text = comparison_of(call)
    config = that_ship(config, show)
    seconds = budget_of(config.budget).seconds
    if trains and not config.recommend:
        raise QweftError("--train trains the winner, and this config names none; set recommend: true")
    if trains and (config.executor != "local" or config.workers not in (None, 1)):
        raise QweftError("--train is for one process; leave --workers and --executor out, or run qweft train --from")
    if "until-decided" in call.flags and config.most_seeds is None:
        config = replace(config, most_seeds=MOST_SEEDS)
    from qweft.comparison.checks import check_start

    check_start(config, needs_weights=not call.is_dry)
    if call.is_dry:
        from qweft.comparison.runner import describe

        show(describe(config))
        return
    with _workers(call, config) as begin:
        from qweft.cli.parser import dump_yaml
        from qweft.comparison.runner import compare

        def keep_and_begin() -> None:
            if text:
                _keep_config(Path(config.output), text)
            begin()

        compare(config, config_yaml=text or dump_yaml(config), command=call.line, begin=keep_and_begin)
    if trains:
        end = None if seconds is None else begun + seconds / CHOOSING_SHARE
        _train_winner(Path(config.output), None if end is None else end - time.perf_counter())


def comparison_of(call: "Call") -> tuple["ComparisonConfig", str]:
    """Return the comparison, and for data the YAML text of the config that they stand for, else an empty text."""
    from qweft.comparison.config import ComparisonConfig
    from qweft.comparison.starter import (
        CONFIG_ENDINGS,
        CompareOptions,
        candidates_of,
        commented,
        is_config,
        starter,
        unfit_of,
    )
    from qweft.schema import build

    target, names = call.targets[0], _named(call)
    chosen = [option for option in call.options if option[0].partition(".")[0] in CHOOSING]
    if is_config(target):
        if any(name == "preset" for name, _ in chosen):
            raise QweftError(f"--preset chooses the methods for data, and {target} is a config, which states its own")
        config = call.config(ComparisonConfig)
        if unknown := [name for name in names or () if name not in config.methods]:
            raise QweftError(f"--methods {unknown[0]}: {target} has {', '.join(config.methods)}")
        if names:
            reference = config.reference if config.reference in names else names[0]
            config = replace(config, methods={name: config.methods[name] for name in names}, reference=reference)
        return replace(config, budget=_choosing(call, config.budget)), ""
    meant = [f"{target}{ending}" for ending in CONFIG_ENDINGS if Path(f"{target}{ending}").is_file()]
    if meant and not Path(target).exists():
        raise QweftError(f"{target}: there are no such data; did you mean the config {meant[0]}?")
    again = next((name for name, _ in call.options if re.fullmatch(r"data\.sources?(\[.*|\..*)?", name)), None)
    if again is not None:
        raise QweftError(
            f"--{again} gives data a second time, after {target}; leave it out, or name several sources in the config "
            f"that qweft init {shlex.quote(target)} writes"
        )
    given = replace(call, options=chosen).given()
    options: CompareOptions = build(CompareOptions, {"methods": {}, **given}, "command line")
    preset = options.preset or "quick"
    tree = starter(target, options.model, preset, options.budget, given.get("output"), names)
    tree["model"].update(given.get("model") or {})
    tree["budget"] = _choosing(call, tree["budget"])
    _say_unfit(unfit_of(options.model, candidates_of(preset, names)))
    replace(call, options=[each for each in call.options if each not in chosen]).given(ComparisonConfig, tree)
    return build(ComparisonConfig, tree, target), commented(tree, f"qweft compare {tree['output']}/config.yaml")


def _named(call: "Call") -> list[str] | None:
    """Return the names that --methods has; `None` without it."""
    if "methods" not in call.values:
        return None
    names = [name.strip() for name in call.values["methods"].split(",")]
    if not all(names):
        raise QweftError("--methods takes names with commas between, as in --methods lora,qtha")
    return list(dict.fromkeys(names))


def _choosing(call: "Call", budget: str | None) -> str | None:
    """Return a budget, with --train with the share of its time in which the winner is chosen."""
    from qweft.comparison.timing import budget_of

    limits = budget_of(budget)
    if "train" not in call.flags or limits.seconds is None:
        return budget
    numbers = [] if limits.parameters is None else [f"{limits.parameters} parameters"]
    return ",".join([f"{limits.seconds * CHOOSING_SHARE:.0f}s", *numbers])


def _keep_config(folder: Path, text: str) -> None:
    """Write the config that data stand for; beside one of another command or changed by hand, as config-1.yaml, ..."""
    own = folder / "config.yaml"
    same = [path for path in folder.glob("config*.yaml") if path.is_file() and path.read_bytes() == text.encode()]
    path = same[0] if same else free_name(own) if os.path.lexists(own) else own
    if not same:
        write_bytes(path, text.encode())
    if path != own:
        show(f"{own} is another one, and stays; the config of this command is {path}")


def _train_winner(output: Path, seconds: float | None) -> None:
    """Train the winner in full, or for as many steps as the time allows, if those are more than it was chosen after."""
    from qweft.cli.parser import parse, winner_config
    from qweft.comparison.results_file import WINNER
    from qweft.comparison.trial import RECORD, read_record
    from qweft.data.load import load_data
    from qweft.models.load import load_tokenizer
    from qweft.models.resolve import resolve
    from qweft.training.config import RunConfig
    from qweft.training.loop import steps_of
    from qweft.training.run import train

    config = parse(RunConfig, [winner_config(str(output))])
    if seconds is not None:
        pace = read_record(output / WINNER / RECORD)[1].step_seconds_median or 0.0
        rows = len(load_data(config.data, load_tokenizer(resolve(config.model))).train)
        steps, most = steps_of(config.training, rows), int(max(seconds, 0.0) / max(pace, 1e-3))
        if most < steps:
            show(f"{most} of the {steps} steps of {config.training.epochs:g} epochs fit into the time left")
            if most <= (config.training.found_in_steps or 0):
                way = f"qweft train --from {shlex.quote(str(output))}"
                show(f"the winner has trained as many; without a limit: {way}")
                return
            config = replace(config, training=replace(config.training, max_steps=most))
    show_adapter(train(config).adapter_folder)


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

    output, results = call.values.get("output"), Path(call.targets[0])
    if not (results / RESULTS if results.is_dir() else results).is_file():
        what = f"no {RESULTS} in it" if results.is_dir() else "no such file or folder"
        raise QweftError(f"{results}: {what}; give the folder that qweft compare wrote")
    from qweft.comparison.report.write import remake_report

    show(f"report: {remake_report(results, named_path(output) if output else None)}")


@Command(
    "tune",
    "find each method's learning rate on the validation rows",
    "Search each method's learning rate by the loss on the validation rows: by factors of two from its own, or among "
    "`rates`. The test rows are not looked at. It reads the same config file as `qweft compare`.",
    "qweft tune configs/demo.yaml --output runs/demo-rates",
    target="CONFIG",
    target_help="YAML file with any of the keys below; `methods` must be in it.",
    flags={"dry-run": "List the methods, the rates and the number of trainings, and stop.", **TRUST},
    config="qweft.comparison.config:ComparisonConfig",
    unused=(*IGNORED, "equivalent_within", "reference"),
)
def _tune(call: "Call") -> None:
    config = call.config()
    given = [f"--{name}" for name, _ in call.options if name.replace("-", "_") in IGNORED]
    if given:
        raise QweftError(f"qweft tune makes no runs that are compared, so {given[0]} has no effect; leave it out")
    from qweft.comparison.checks import check_start, for_search

    check_start(for_search(config), needs_weights=not call.is_dry)
    if call.is_dry:
        from qweft.comparison.tune import describe

        show(describe(config))
        return
    with _workers(call, config) as begin:
        from qweft.comparison.tune import tune

        rates = tune(config, command=call.line, begin=begin)
    show(f"rates: {rates}")


@Command(
    "sweep",
    "try many configurations of one adapter within a budget of parameters or time",
    "Train many configurations of one adapter, each judged on the validation rows, and write the best, the front of "
    "loss against parameters, and a plot to the output folder. Finished trials are kept: the same command goes on "
    "where it stopped, and a second one beside it shares the trials.",
    "qweft sweep configs/sweep.yaml --workers 2 --output runs/sweep",
    target="CONFIG",
    target_help="YAML file with any of the keys below; `space` must be in it.",
    flags={"dry-run": "Say what varies, how much of it fits the budget, and the time, and stop.", **TRUST},
    config="qweft.sweep.config:SweepConfig",
)
def _sweep(call: "Call") -> None:
    config = call.config()
    from qweft.sweep.space import check_start

    check_start(config, needs_weights=not call.is_dry)
    if call.is_dry:
        from qweft.sweep.describe import describe

        show(describe(config))
        return
    with _workers(call, config) as begin:
        from qweft.cli.parser import dump_yaml
        from qweft.sweep.run import sweep

        page = sweep(config, config_yaml=dump_yaml(config), command=call.line, begin=begin)
    show(f"sweep: {page}")
