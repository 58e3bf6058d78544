"""`qweft compare`."""

import os
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from qweft.cli.command import Command
from qweft.cli.parser import Call, dump_yaml, parse, read, winner_config
from qweft.cli.terminal import show, show_adapter
from qweft.comparison.budget import budget_of
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.starter import (
    CONFIG_ENDINGS,
    CompareOptions,
    candidates_of,
    commented,
    is_config,
    starter,
    that_ship,
    unfit_of,
)
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.schema import build

CHOOSING_SHARE = 0.5
"""Share of the time in which `--train` chooses."""
MOST_SEEDS = 12
"""Cap of seeds of `--until-decided` without a cap in the config."""
CHOOSING = ("model", "preset", "budget", "output")
"""Options on which the config of data depends; all others change it afterwards."""

COMMAND = Command(
    name="compare",
    description="Run every method at every seed under one budget, judge each on the same test rows, and write a "
    "table, plots and a page to the output folder, from the first finished run on. Finished runs are kept: the same "
    "command goes on where it stopped. With data in the place of a config it answers which adapter to use: it chooses "
    "the methods and ends in one sentence, with the winner's adapter in OUTPUT/winner.",
    example="qweft compare my.csv --budget 20min",
    target="CONFIG|DATA",
    target_help="A config, whose name ends in .yaml or .yml, with any of the keys below (`methods` must be in it); or "
    "data: a file (.csv, .jsonl, .json, .parquet, .txt), a folder of them, embedded:NAME, or a hub id. With data, "
    "--model NAME stands for --model.name NAME.",
    flags={
        "dry-run": "List the runs and stop.",
        "train": "Then train the winner in full, as qweft train --from OUTPUT does. A time in --budget is for both, "
        "one half each.",
        "until-decided": f"Set most_seeds to {MOST_SEEDS} if it is none: add seeds until each question is decided.",
    },
    values={"methods": ("NAMES", "Compare only these, with commas between: lora,qtha,mpo.")},
    options=CompareOptions,
)


def run(call: Call) -> None:
    """Compare (or list the runs); the comparison says itself what it found."""
    begun = time.perf_counter()
    config, text = _config_of(call)
    config = that_ship(config, show)
    whole = budget_of(config.budget).seconds
    if "train" in call.flags:
        _check_train(config)
        whole = None if whole is None else whole / CHOOSING_SHARE
    if "until-decided" in call.flags and config.most_seeds is None:
        config = replace(config, most_seeds=MOST_SEEDS)
    from qweft.comparison.checks import check_start

    check_start(config, needs_weights=not call.is_dry)
    if call.is_dry:
        from qweft.comparison.runner import describe

        show(describe(config))
        return
    from qweft.comparison.workers import local_workers

    with local_workers(["compare", *call.argv], config.executor, config.workers, Path(config.output)) as begin:
        from qweft.comparison.runner import compare

        def keep_and_begin() -> None:
            if text:
                _keep_config(Path(config.output), text)
            begin()

        compare(config, config_yaml=text or dump_yaml(config), command=call.line, begin=keep_and_begin)
    if "train" in call.flags:
        _train_winner(Path(config.output), None if whole is None else whole - (time.perf_counter() - begun))


def _check_train(config: ComparisonConfig) -> None:
    if not config.recommend:
        raise QweftError("--train trains the winner, and this config names none; set recommend: true")
    if config.executor != "local" or config.workers not in (None, 1):
        raise QweftError("--train is for one process; leave --workers and --executor out, or run qweft train --from")


def _choosing(budget: str | None) -> str | None:
    """Return a budget with the share of its time in which the winner is chosen."""
    found = budget_of(budget)
    if found.seconds is None:
        return budget
    numbers = [] if found.parameters is None else [f"{found.parameters} parameters"]
    return ",".join([f"{found.seconds * CHOOSING_SHARE:.0f}s", *numbers])


def _train_winner(output: Path, seconds: float | None) -> None:
    """Train the winner in full, or for as many steps as the time allows, if that is an epoch or more."""
    from qweft.comparison.results_file import WINNER
    from qweft.comparison.trial import RECORD, read_record
    from qweft.data.load import load_data
    from qweft.models.load import load_tokenizer
    from qweft.models.resolve import resolve
    from qweft.training.config import RunConfig
    from qweft.training.loop import steps_of
    from qweft.training.run import train

    config = parse(RunConfig, [winner_config(str(output), [])])
    if seconds is not None:
        pace = read_record(output / WINNER / RECORD)[1].step_seconds_median or 0.0
        rows = len(load_data(config.data, load_tokenizer(resolve(config.model))).train)
        steps, most = steps_of(config.training, rows), int(max(seconds, 0.0) / max(pace, 1e-3))
        if most < steps:
            show(f"{most} of the {steps} steps of {config.training.epochs:g} epochs fit into the time left")
            if most < steps / config.training.epochs:
                way = f"qweft train --from {shlex.quote(str(output))}"
                show(f"that is less than an epoch, and is not done; without a limit: {way}")
                return
            config = replace(config, training=replace(config.training, max_steps=most))
    show_adapter(train(config).adapter_folder)


def config_of(argv: Sequence[str]) -> tuple[ComparisonConfig, str]:
    """Return the comparison, and for data the YAML text of the config that they stand for, else an empty text."""
    return _config_of(read(argv, COMMAND))


def _config_of(call: Call) -> tuple[ComparisonConfig, str]:
    target, names = call.targets[0], _named(call)
    chosen = [option for option in call.options if option[0].partition(".")[0] in CHOOSING]
    if is_config(target):
        if any(name == "preset" for name, _ in chosen):
            raise QweftError(f"--preset chooses the methods for data, and {target} is a config, which states its own")
        config = _only(call.config(ComparisonConfig), names, target)
        return (replace(config, budget=_choosing(config.budget)) if "train" in call.flags else config), ""
    meant = [f"{target}{ending}" for ending in CONFIG_ENDINGS if Path(f"{target}{ending}").is_file()]
    if meant and not Path(target).exists():
        raise QweftError(f"{target}: there are no such data; did you mean the config {meant[0]}?")
    again = next((name for name, _ in call.options if re.fullmatch(r"data\.sources?(\[.*|\..*)?", name)), None)
    if again is not None:
        raise QweftError(
            f"--{again} gives data a second time, after {target}; leave it out, or name several sources in the config "
            f"that qweft init {shlex.quote(target)} writes"
        )
    given: dict[str, Any] = replace(call, options=chosen).given()
    options: CompareOptions = build(CompareOptions, {"methods": {}, **given}, "command line")
    preset = options.preset or "quick"
    tree = starter(target, options.model, preset, options.budget, given.get("output"), names)
    tree["model"].update(given.get("model") or {})
    if "train" in call.flags:
        tree["budget"] = _choosing(tree["budget"])
    if unfit := unfit_of(options.model, candidates_of(preset, names)):
        show(f"left out, as they do not go with this base model: {', '.join(unfit)}")
    replace(call, options=[each for each in call.options if each not in chosen]).given(ComparisonConfig, tree)
    return build(ComparisonConfig, tree, target), commented(tree, f"qweft compare {tree['output']}/config.yaml")


def _named(call: Call) -> list[str] | None:
    """Return the names that --methods has; `None` without it."""
    if "methods" not in call.values:
        return None
    names = [name.strip() for name in (call.values["methods"] or "").split(",")]
    if not all(names):
        raise QweftError("--methods takes names with commas between, as in --methods lora,qtha")
    return list(dict.fromkeys(names))


def _only(config: ComparisonConfig, names: Sequence[str] | None, file: str) -> ComparisonConfig:
    """Return a comparison of the named methods alone; its reference is the first where its own is left out."""
    if names is None:
        return config
    if unknown := [name for name in names if name not in config.methods]:
        raise QweftError(f"--methods {unknown[0]}: {file} has {', '.join(config.methods)}")
    reference = config.reference if config.reference in names else names[0]
    return replace(config, methods={name: config.methods[name] for name in names}, reference=reference)


def _keep_config(folder: Path, text: str) -> None:
    """Write the config that data stand for; beside one of another command or changed by hand, as config-2.yaml, ..."""
    for number in count(1):
        path = folder / ("config.yaml" if number == 1 else f"config-{number}.yaml")
        if not os.path.lexists(path):
            write_bytes(path, text.encode())
        elif not path.is_file() or path.read_bytes() != text.encode():
            continue
        if number > 1:
            show(f"{folder / 'config.yaml'} is another one, and stays; the config of this command is {path}")
        return
