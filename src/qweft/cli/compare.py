"""`qweft compare`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import dump_yaml, parse, read_arguments
from qweft.cli.terminal import show
from qweft.comparison.config import ComparisonConfig

COMMAND = Command(
    name="compare",
    description="Run every method at every seed under one budget, judge each on the same test rows, and write a "
    "table, plots and a page to the output folder, from the first finished run on. Finished runs are kept: the same "
    "command goes on where it stopped.",
    example="qweft compare configs/demo.yaml --output runs/demo",
    target="CONFIG",
    target_help="YAML file with any of the keys below; `methods` must be in it.",
    flags={"dry-run": "List the runs and stop."},
    options=ComparisonConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, compares (or lists the runs), and prints what was found."""
    config = parse(ComparisonConfig, argv, COMMAND)
    flags = read_arguments(argv, COMMAND).flags
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
