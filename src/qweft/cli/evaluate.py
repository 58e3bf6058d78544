"""`qweft evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qweft.cli.command import Command
from qweft.cli.parser import apply_options, read_arguments
from qweft.cli.terminal import only_json, print_json, show
from qweft.data.config import DataConfig
from qweft.errors import QweftError
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


def parse_overrides(argv: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """Return the adapter's folder and only the keys that were given: {"evaluation": {"answers": 5}}."""
    arguments = read_arguments(Overrides, argv, COMMAND)
    folder = Path(arguments.target or "")
    if not folder.is_dir():
        raise QweftError(f"{folder}: no such folder; qweft evaluate takes the folder of a trained adapter")
    overrides: dict[str, Any] = {}
    apply_options(Overrides, overrides, arguments, COMMAND)
    return folder, overrides


def run(argv: Sequence[str]) -> None:
    """Parse, evaluate and print."""
    folder, overrides = parse_overrides(argv)
    wants_json = "--json" in argv
    with only_json(wants_json):
        from qweft.evaluation.run import evaluate

        evaluation = evaluate(folder, overrides)
    if wants_json:
        print_json(evaluation.to_json())
    else:
        show(evaluation.describe())
