"""`qweft evaluate`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qweft.cli.command import TRUST, Command
from qweft.cli.parser import parse_folder
from qweft.cli.terminal import only_json, print_json, show
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EVERYWHERE, EvaluationConfig
from qweft.evaluation.noise.config import NoiseConfig
from qweft.models.config import ModelConfig

SECTIONS = ("model", "data", "evaluation")


@dataclass(frozen=True)
class Overrides(NoiseConfig):
    """Keys that may differ from the training run, and the device on which the circuits are measured.

    Args:
        model: The base model.
        data: The text.
        evaluation: How the adapter is evaluated.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


COMMAND = Command(
    name="evaluate",
    description="Judge a trained adapter beside its base model: loss and perplexity, and on request its answers, the "
    "loss on other text, and tasks of lm-evaluation-harness; with a device, also with its circuits measured there, at "
    "several numbers of shots and strengths of noise. Options change single keys of the config that the adapter was "
    "trained with; what is not given stays as it was in that run.",
    example="qweft evaluate runs/train/adapter --device noisy --shots 100,1000 --max-circuits 20000",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train` wrote it.",
    flags={
        "json": "Print the numbers as JSON, and nothing else, on standard output.",
        "dry-run": "Say what would be measured, with a device what it would take, and stop.",
        "yes": "Agree to what is sent to a device that takes jobs or costs money, without being asked.",
    },
    shows_defaults=False,
    options=Overrides,
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, evaluates and prints."""
    folder, options, flags = parse_folder(Overrides, argv, COMMAND)
    sections = {name: options.pop(name) for name in SECTIONS if name in options}
    wanted = sorted({*options, *flags} - {"json", "dry-run", TRUST})
    if wanted and "device" not in options:
        raise QweftError(
            f"--{wanted[0].replace('_', '-')} is about circuits measured on a device; name one with --device "
            "(qweft devices lists them)"
        )
    if wanted:
        for name in sections.get("evaluation", {}):
            if name not in EVERYWHERE:
                raise QweftError(
                    f"--evaluation.{name} is not measured on a device; leave it out, or leave out --device"
                )
    with only_json("json" in flags):
        _check(folder, sections, options if wanted else None, "dry-run" in flags)
        as_json, described = (
            _measured(folder, sections, options, flags, argv)
            if wanted
            else _computed(folder, sections, "dry-run" in flags)
        )
    if "json" in flags:
        print_json(as_json)
    else:
        show(described)


def _check(folder: Path, sections: dict[str, Any], options: dict[str, Any] | None, dry_run: bool) -> None:
    """Checks what needs no model, with `options` of a device if circuits are measured, before PyTorch is imported."""
    if options is None:
        from qweft.evaluation.checks import check_judging

        check_judging(folder, sections, needs_weights=not dry_run)
    else:
        from qweft.evaluation.noise.checks import check_start

        check_start(folder, sections, NoiseConfig(**options))


def _computed(folder: Path, sections: dict[str, Any], dry_run: bool) -> tuple[Any, Any]:
    if dry_run:
        from qweft.evaluation.preview import preview_evaluation

        preview = preview_evaluation(folder, sections)
        return preview.to_json(), preview.describe()
    from qweft.evaluation.run import evaluate

    found = evaluate(folder, sections)
    return found.to_json(), found.describe()


def _measured(
    folder: Path, sections: dict[str, Any], options: dict[str, Any], flags: set[str], argv: Sequence[str]
) -> tuple[Any, Any]:
    from qweft.evaluation.noise.outcome import NoiseResults
    from qweft.evaluation.noise.report import describe
    from qweft.evaluation.noise.run import evaluate_on_device
    from qweft.output import Console

    results = evaluate_on_device(
        folder,
        sections,
        NoiseConfig(**options),
        shlex.join(["qweft", "evaluate", *argv]),
        Console(stderr="json" in flags),
        yes=None if "dry-run" in flags else "yes" in flags,
    )
    return results.to_json(), describe(results) if isinstance(results, NoiseResults) else results.describe()
