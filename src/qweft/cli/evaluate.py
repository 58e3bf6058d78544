"""`qweft evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from qweft.cli.command import Command
from qweft.cli.parser import parse_folder
from qweft.cli.terminal import only_json, print_json, show
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig

COMMAND = Command(
    name="evaluate",
    description="Judge a trained adapter beside its base model. Options change single keys of the config that "
    "the adapter was trained with; what is not given stays as it was in that run.",
    example="qweft evaluate runs/train/adapter --evaluation.answers 5",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train` wrote it.",
    target_required=True,
    flags={"json": "Print the numbers as JSON, and nothing else, on standard output."},
    shows_defaults=False,
)


@dataclass(frozen=True)
class Overrides:
    """What may differ from the run that trained the adapter.

    Args:
        model: The base model.
        data: The text.
        evaluation: The judging.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def run(argv: Sequence[str]) -> None:
    """Parse, evaluate and print."""
    folder, overrides, flags = parse_folder(Overrides, argv, COMMAND)
    wants_json = "json" in flags
    with only_json(wants_json):
        from qweft.evaluation.run import evaluate

        evaluation = evaluate(folder, overrides)
    if wants_json:
        print_json(evaluation.to_json())
    else:
        show(evaluation.describe())
