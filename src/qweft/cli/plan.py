"""`qweft plan`."""

from qweft.cli.command import JSON, Command
from qweft.cli.parser import Call
from qweft.cli.terminal import show
from qweft.training.config import RunConfig

COMMAND = Command(
    name="plan",
    description="Say what a run would take (trainable parameters, memory, steps) without training. It reads the "
    "same config file and options as `qweft train`.",
    example="qweft plan configs/train.yaml --adapter.r 8 --json",
    target="[CONFIG]",
    flags={
        "timed": "Load the weights too, train for four steps, and say how long the run would take.",
        "chips": "Say too how many circuits and shots the training would take on a chip, and its time and price there.",
        **JSON,
    },
    options=RunConfig,
)


def run(call: Call) -> None:
    """Plan and print."""
    config = call.config()
    from qweft.training.checks import check_plan

    check_plan(config)
    from qweft.training.plan import plan

    planned = plan(config, timed="timed" in call.flags, chips="chips" in call.flags)
    call.answer(planned.to_json, planned.describe)
    if "chips" in call.flags and planned.chips is None and "json" not in call.flags:
        why = "the adapter has no circuit that one could run" if planned.steps is not None else "no data were read"
        show(f"chips: {why}")
