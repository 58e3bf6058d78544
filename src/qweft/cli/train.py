"""`qweft train`."""

from pathlib import Path

from qweft.cli.command import Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show, show_adapter
from qweft.training.config import RunConfig

COMMAND = Command(
    name="train",
    description="Train one adapter and write it, with the effective config, to the output folder. Every key of "
    "the config file is also an option, which wins over the file.",
    example="qweft train configs/train.yaml --adapter.preset qwthn",
    target="[CONFIG]",
    values={"from": ("FOLDER", "Of a comparison: train its winner in full, on the same rows, for whole epochs.")},
    flags={"dry-run": "Show the plan (parameters, memory, steps) and stop."},
    options=RunConfig,
)


def run(call: Call) -> None:
    """Train (or plan), and print the adapter's path."""
    from qweft.training.checks import check_no_adapter, check_plan, check_start

    check_no_adapter(call.targets)
    config = call.config()
    if call.is_dry:
        from qweft.files import check_can_be_written
        from qweft.models.resolve import check_holds_no_model

        check_plan(config)
        check_can_be_written(Path(config.output))
        check_holds_no_model(Path(config.output))
        from qweft.training.plan import plan

        show(plan(config).describe())
        return
    check_start(config)
    from qweft.training.distributed import is_first_process
    from qweft.training.run import train

    trained = train(config)
    if is_first_process():
        show_adapter(trained.adapter_folder)
