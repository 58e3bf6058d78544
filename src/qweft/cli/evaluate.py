"""`qweft evaluate`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qweft.cli.command import Command
from qweft.cli.parser import parse_folder
from qweft.cli.terminal import only_json, print_json, show
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.hardware.config import HardwareConfig
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
SECTIONS = ("model", "data", "evaluation")


@dataclass(frozen=True)
class Overrides(HardwareConfig):
    """What may differ from the run that trained the adapter, and the device that its circuits are measured on.

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
    folder, options, flags = parse_folder(Overrides, argv, COMMAND)
    sections = {name: options.pop(name) for name in SECTIONS if name in options}
    wants_json = "json" in flags
    with only_json(wants_json):
        found, described = (
            _measured(folder, sections, HardwareConfig(**options), argv) if options else _computed(folder, sections)
        )
    if wants_json:
        print_json(found)
    else:
        show(described)


def _computed(folder: Path, sections: dict[str, Any]) -> tuple[Any, Any]:
    from qweft.evaluation.run import evaluate

    found = evaluate(folder, sections)
    return found.to_json(), found.describe()


def _measured(folder: Path, sections: dict[str, Any], config: HardwareConfig, argv: Sequence[str]) -> tuple[Any, Any]:
    from rich.console import Console

    from qweft.hardware.describe import describe
    from qweft.hardware.run import evaluate_on_device

    command = shlex.join(["qweft", "evaluate", *argv])
    found = evaluate_on_device(folder, sections, config, command, Console(stderr="--json" in argv))
    return found.to_json(), describe(found)
