"""`qweft compare`."""

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from qweft.cli.command import Command
from qweft.cli.parser import apply_options, dump_yaml, parse, read_arguments
from qweft.cli.terminal import show
from qweft.comparison.config import ComparisonConfig
from qweft.comparison.starter import (
    CONFIG_ENDINGS,
    CompareOptions,
    commented,
    is_config,
    starter,
    unfit_of,
)
from qweft.errors import QweftError
from qweft.files import read_bytes, write_bytes
from qweft.schema import build

MOST_SEEDS = 12
"""Cap of seeds of `--until-decided` without a cap in the config."""
CONFIG = "config.yaml"
"""The config that data stand for, in the output folder."""
MOST_BYTES = 2**20
"""Most bytes of a kept config that are compared."""
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
        "until-decided": f"Set most_seeds to {MOST_SEEDS} if it is none: add seeds until each question is decided.",
    },
    options=CompareOptions,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, compares (or lists the runs), and prints what was found."""
    config, text = config_of(argv)
    flags = read_arguments(argv, COMMAND).flags
    if "until-decided" in flags and config.most_seeds is None:
        config = replace(config, most_seeds=MOST_SEEDS)
    from qweft.comparison.checks import check_start

    check_start(config, needs_weights="dry-run" not in flags)
    if "dry-run" in flags:
        from qweft.comparison.runner import describe

        show(describe(config))
        return
    from qweft.comparison.executors.local_workers import local_workers

    with local_workers(["compare", *argv], config.executor, config.workers, Path(config.output)) as begin:
        from qweft.comparison.runner import compare

        def keep_and_begin() -> None:
            if text:
                keep_config(Path(config.output), text)
            begin()

        command = shlex.join(["qweft", "compare", *argv])
        compare(config, config_yaml=text or dump_yaml(config), command=command, begin=keep_and_begin)


def keep_config(folder: Path, text: str) -> None:
    """Writes the config that data stand for; one that is there, of another command or changed by hand, is kept.

    The text then goes to the first free one of config-2.yaml, config-3.yaml, ..., which is told.
    """
    content = text.encode()
    for number in count(1):
        path = folder / (CONFIG if number == 1 else f"{Path(CONFIG).stem}-{number}.yaml")
        is_there, before = os.path.lexists(path), None
        with suppress(OSError, ValueError):
            before = read_bytes(path, MOST_BYTES)
        if is_there and before != content:
            continue
        if not is_there:
            write_bytes(path, content)
        if number > 1:
            show(f"{folder / CONFIG} is another one, and stays; the config of this command is {path}")
        return


def config_of(argv: Sequence[str]) -> tuple[ComparisonConfig, str]:
    """Returns the comparison, and for data the YAML text of the config that they stand for, else an empty text.

    Raises:
        QweftError: If the config or an option is wrong.
        SystemExit: With status 0, after printing the help.
    """
    arguments = read_arguments(argv, COMMAND)
    target, options = arguments.targets[0], arguments.options
    named = {name.partition(".")[0] for name, _ in options}
    if is_config(target):
        if "preset" in named:
            raise QweftError(f"--preset chooses the methods for data, and {target} is a config, which states its own")
        return parse(ComparisonConfig, argv, COMMAND), ""
    meant = [f"{target}{ending}" for ending in CONFIG_ENDINGS if Path(f"{target}{ending}").is_file()]
    if meant and not Path(target).exists():
        raise QweftError(f"{target}: there are no such data; did you mean the config {meant[0]}?")
    again = next((name for name, _ in options if re.fullmatch(r"data\.sources?(\[.*|\..*)?", name)), None)
    if again is not None:
        raise QweftError(
            f"--{again} gives data a second time, after {target}; leave it out, or name several sources in the config "
            f"that qweft init {shlex.quote(target)} writes"
        )
    chosen = [(_whole(*option), option[1]) for option in options if option[0].partition(".")[0] in CHOOSING]
    given: dict[str, Any] = {}
    apply_options(CompareOptions, given, replace(arguments, options=chosen), COMMAND)
    told: CompareOptions = build(CompareOptions, {"methods": {}, **given}, "command line")
    tree = starter(target, told.model, told.preset or "quick", told.budget, given.get("output"))
    tree["model"].update(given.get("model") or {})
    if unfit := unfit_of(told.model, told.preset or "quick"):
        show(f"left out, as they do not go with this base model: {', '.join(unfit)}")
    others = [option for option in options if option[0].partition(".")[0] not in CHOOSING]
    apply_options(ComparisonConfig, tree, replace(arguments, options=others), COMMAND)
    return build(ComparisonConfig, tree, target), commented(tree, f"qweft compare {tree['output']}/{CONFIG}")


def _whole(name: str, text: str | None) -> str:
    """Returns the key of an option: `--model NAME` stands for `--model.name NAME`."""
    return "model.name" if name == "model" and text and not text.lstrip().startswith("{") else name
