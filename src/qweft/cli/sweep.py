"""`qweft sweep`."""

from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import Call, dump_yaml
from qweft.cli.terminal import show
from qweft.sweep.config import SweepConfig

COMMAND = Command(
    name="sweep",
    description="Train many configurations of one adapter, each judged on the validation rows, and write the best, "
    "the front of loss against parameters, and a plot to the output folder. Finished trials are kept: the same command "
    "goes on where it stopped, and a second one beside it shares the trials.",
    example="qweft sweep configs/sweep.yaml --workers 2 --output runs/sweep",
    target="CONFIG",
    target_help="YAML file with any of the keys below; `space` must be in it.",
    flags={"dry-run": "Say what varies, how much of it fits the budget, and the time, and stop."},
    options=SweepConfig,
)


def run(call: Call) -> None:
    """Sweep (or describe the sweep), and print the page's path."""
    config = call.config()
    from qweft.sweep.space import check_start

    check_start(config, needs_weights=not call.is_dry)
    if call.is_dry:
        from qweft.sweep.describe import describe

        show(describe(config))
        return
    from qweft.comparison.workers import local_workers

    with local_workers(["sweep", *call.argv], config.executor, config.workers, Path(config.output)) as begin:
        from qweft.sweep.run import sweep

        page = sweep(config, config_yaml=dump_yaml(config), command=call.line, begin=begin)
    show(f"sweep: {page}")
