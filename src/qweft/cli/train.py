"""`qweft train`."""

from collections.abc import Sequence
from pathlib import Path

from qweft import yaml_file
from qweft.cli.command import Command
from qweft.cli.parser import parse, read_arguments
from qweft.cli.terminal import show
from qweft.errors import QweftError
from qweft.training.config import RunConfig

COMMAND = Command(
    name="train",
    description="Train one adapter and write it, with the effective config, to the output folder. Every key of "
    "the config file is also an option, which wins over the file.",
    example="qweft train configs/train.yaml --adapter.preset qwthn",
    target="[CONFIG]",
    target_help="YAML file with any of the keys below; without it, their defaults.",
    flags={"dry-run": "Show the plan (parameters, memory, steps) and stop."},
    options=RunConfig,
)


def _check_target(target: str) -> None:
    """Name the way where a trained adapter or the config of a comparison is given.

    Raises:
        QweftError: It is one of these.
    """
    path, what = Path(target), ""
    if path.name == "run.json" or (path / "adapter_config.json").is_file() or (path / "adapter").is_dir():
        what = "is or tells of a trained adapter"
    elif path.suffix in (".yaml", ".yml") and path.is_file() and "methods" in yaml_file.read(target):
        what = "has the methods of a comparison"
    if what:
        raise QweftError(
            f"{target} {what}, and qweft train takes the config of one run; give its method, rate and data as options: "
            "qweft train --model.name MODEL --data.source DATA --adapter.preset METHOD --training.learning_rate RATE"
        )


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, trains (or plans), and prints the adapter's path."""
    for target in read_arguments(argv, COMMAND).targets:
        _check_target(target)
    config = parse(RunConfig, argv, COMMAND)
    flags = read_arguments(argv, COMMAND).flags
    from qweft.training.checks import check_plan, check_start

    if "dry-run" in flags:
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

    found = train(config)
    if is_first_process():
        show(f"adapter: {found.adapter_folder}")
