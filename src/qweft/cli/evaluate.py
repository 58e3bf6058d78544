"""`qweft evaluate`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qweft.cli.command import JSON, TRUST, Command
from qweft.cli.parser import Call
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EVERYWHERE, EvaluationConfig
from qweft.evaluation.noise.config import NoiseConfig
from qweft.models.config import ModelConfig


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
    flags={
        "dry-run": "Say what would be measured, with a device what it would take, and stop.",
        "yes": "Agree to what is sent to a device that takes jobs or costs money, without being asked.",
        **JSON,
    },
    shows_defaults=False,
    options=Overrides,
)


def run(call: Call) -> None:
    """Evaluate and print."""
    folder, (options, sections) = call.folder, call.apart("model", "data", "evaluation")
    measured = sorted({*options, *call.flags} - {"json", "dry-run", TRUST})
    if measured and "device" not in options:
        raise QweftError(
            f"--{measured[0].replace('_', '-')} is about circuits measured on a device; name one with --device "
            "(qweft devices lists them)"
        )
    if measured:
        _measure(call, folder, sections, NoiseConfig(**options))
        return
    from qweft.evaluation.checks import preview_evaluation

    planned = preview_evaluation(folder, sections)
    if call.is_dry:
        call.answer(planned.to_json, planned.describe)
        return
    from qweft.evaluation.run import evaluate

    judged = evaluate(folder, sections)
    call.answer(judged.to_json, judged.describe)


def _measure(call: Call, folder: Path, sections: dict[str, Any], config: NoiseConfig) -> None:
    """Evaluate with the circuits measured on a device."""
    for name in sections.get("evaluation", {}):
        if name not in EVERYWHERE:
            raise QweftError(f"--evaluation.{name} is not measured on a device; leave it out, or leave out --device")
    from qweft.evaluation.noise.plan import check_start

    check_start(folder, sections, config)
    from qweft.evaluation.noise.run import evaluate_on_device
    from qweft.output import Console

    console = Console(stderr="json" in call.flags)
    yes = None if call.is_dry else "yes" in call.flags
    results = evaluate_on_device(folder, sections, config, call.line, console, yes=yes)
    call.answer(results.to_json, results.describe)
