"""`qweft tune`."""

from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show
from qweft.comparison.config import ComparisonConfig
from qweft.errors import QweftError

OF_COMPARE = (
    "budget",
    "halving.finalists",
    "halving.rungs",
    "recommend",
    "inspect",
    "most_seeds",
    "must_ship",
    "search",
)
"""Options that would be expected to change a search, and do not."""
COMMAND = Command(
    name="tune",
    description="Search each method's learning rate by the loss on the validation rows: by factors of two from its "
    "own, or among `rates`. The test rows are not looked at. It reads the same config file as `qweft compare`.",
    example="qweft tune configs/demo.yaml --output runs/demo-rates",
    target="CONFIG",
    target_help="YAML file with any of the keys below; `methods` must be in it.",
    flags={"dry-run": "List the methods, the rates and the number of trainings, and stop."},
    options=ComparisonConfig,
    unused=(*OF_COMPARE, "equivalent_within", "reference"),
)


def run(call: Call) -> None:
    """Tune (or list the trainings), and print the path of the rates."""
    config = call.config()
    given = [f"--{name}" for name, _ in call.options if name.replace("-", "_") in OF_COMPARE]
    if given:
        raise QweftError(f"qweft tune makes no runs that are compared, so {given[0]} has no effect; leave it out")
    from qweft.comparison.checks import check_start, for_search

    check_start(for_search(config), needs_weights=not call.is_dry)
    if call.is_dry:
        from qweft.comparison.tune import describe

        show(describe(config))
        return
    from qweft.comparison.workers import local_workers

    with local_workers(["tune", *call.argv], config.executor, config.workers, Path(config.output)) as begin:
        from qweft.comparison.tune import tune

        rates = tune(config, command=call.line, begin=begin)
    show(f"rates: {rates}")
