"""`qweft plan`."""

from collections.abc import Sequence

from qweft.cli.command import Command
from qweft.cli.parser import parse, read_arguments
from qweft.cli.terminal import only_json, print_json, show
from qweft.training.config import RunConfig

COMMAND = Command(
    name="plan",
    description="Say what a run would take (trainable parameters, memory, steps) without training. It reads the "
    "same config file and options as `qweft train`.",
    example="qweft plan configs/train.yaml --adapter.r 8 --json",
    target="[CONFIG]",
    target_help="YAML file with any of the keys below; without it, their defaults.",
    flags={
        "timed": "Load the weights too, train for four steps, and say how long the run would take.",
        "chips": "Say too how many circuits and shots the training would take on a chip, and its time and price there.",
        "json": "Print the plan as JSON, and nothing else, on standard output.",
    },
    options=RunConfig,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, plans and prints."""
    config = parse(RunConfig, argv, COMMAND)
    flags = read_arguments(argv, COMMAND).flags
    wants_json = "json" in flags
    with only_json(wants_json):
        from qweft.training.checks import check_plan

        check_plan(config)
        from qweft.training.plan import plan

        planned = plan(config, timed="timed" in flags, chips="chips" in flags)
    if wants_json:
        print_json(planned.to_json())
    else:
        show(planned.describe())
        if "chips" in flags and planned.chips is None:
            why = "the adapter has no circuit that one could run" if planned.steps is not None else "no data were read"
            show(f"chips: {why}")
