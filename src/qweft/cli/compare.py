"""`qweft compare`."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import dump_yaml, parse, read_arguments
from qweft.cli.terminal import show
from qweft.comparison.config import ComparisonConfig

MOST_SEEDS = 12
"""Cap of seeds of `--until-decided` without a cap in the config."""

COMMAND = Command(
    name="compare",
    description="Run every method at every seed under one budget, judge each on the same test rows, and write a "
    "table, plots and a page to the output folder, from the first finished run on. Finished runs are kept: the same "
    "command goes on where it stopped.",
    example="qweft compare configs/demo.yaml --output runs/demo",
    target="CONFIG",
    target_help="YAML file with any of the keys below; `methods` must be in it.",
    flags={
        "dry-run": "List the runs and stop.",
        "until-decided": f"Set most_seeds to {MOST_SEEDS} if it is none: add seeds until each question is decided.",
    },
    options=ComparisonConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, compares (or lists the runs), and prints what was found."""
    config = parse(ComparisonConfig, argv, COMMAND)
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

        compare(config, config_yaml=dump_yaml(config), command=shlex.join(["qweft", "compare", *argv]), begin=begin)
