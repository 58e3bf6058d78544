"""What an export will do: its options, output folder, model and text, checked before PyTorch is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.files import check_can_be_written
from qweft.core.records import read_record
from qweft.core.text import short_repr
from qweft.data.checks import check_data_config, check_sources
from qweft.data.config import DataConfig
from qweft.data.load import Data, load_data
from qweft.data.read.location import same_source
from qweft.data.tokens import Encoded
from qweft.evaluation.checks import Preview, check_evaluation, check_unseen
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.record import run_config, sections_of
from qweft.exporting.config import LORAS, ExportConfig
from qweft.method.saved import check_saved, read_saved
from qweft.method.shipping import is_plain_lora, method_name, why_no_lora, why_not_merged
from qweft.models.checks import check_model
from qweft.models.config import ModelConfig

SECTIONS = ("model", "data", "evaluation")
REPORT = "export.json"


@dataclass(frozen=True)
class ExportPlan:
    """An export that can start. Without other text in `calibration` the training rows of `held_out` calibrate."""

    adapter: Path
    config: ExportConfig
    overrides: Mapping[str, Any]
    output: Path
    model: ModelConfig
    held_out: DataConfig
    calibration: DataConfig | None
    evaluation: EvaluationConfig

    @property
    def calibration_source(self) -> str:
        """Source of the calibration rows."""
        return (self.calibration or self.held_out).source

    def preview(self) -> Preview:
        """Describe the work of `qweft export`."""
        return Preview(
            (
                f"adapter {self.adapter} on {self.model.name} to {self.config.to}",
                f"what is fitted, on at most {self.config.calibration_tokens:,} tokens of {self.calibration_source}",
                f"judged on the {self.evaluation.split} rows of {self.held_out.source_of(self.evaluation.split)}",
                f"written to {self.output}",
            )
        )


def plan_export(adapter: Path, options: Mapping[str, Any] | None) -> ExportPlan:
    """Check everything that can be checked before an adapter is exported."""
    given = dict(options or {})
    overrides = {name: given.pop(name) for name in SECTIONS if name in given}
    config = ExportConfig(**given)
    output = Path(config.output) if config.output else adapter.parent / config.to
    _check_output(output, adapter)
    check_saved(adapter)
    _check_method(adapter, config)
    plan = ExportPlan(adapter, config, overrides, output, *_sections(adapter, config.calibration, overrides))
    for data in (plan.held_out, plan.calibration):
        if data is not None:
            check_data_config(data)
            check_sources(data)
    check_model(plan.model)
    return plan


def _check_output(output: Path, adapter: Path) -> None:
    """Raise unless the output folder is new, empty or an earlier export; what a link leads to may be another's."""
    if output.is_symlink():
        raise QweftError(f"output {output} is a link; remove it, or give another --output")
    if output.resolve() == adapter.resolve():
        raise QweftError(f"output {output} is the adapter itself; choose another --output")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        try:
            read_record(output / REPORT, "")
        except QweftError as error:
            raise QweftError(f"output {output} holds something that is no export; choose another --output") from error
    check_can_be_written(output.parent)


def _check_method(adapter: Path, config: ExportConfig) -> None:
    """Raise unless the adapter can be exported to the format."""
    saved = read_saved(adapter)
    method, whole = method_name(saved), saved.get("modules_to_save")
    if reason := why_not_merged(saved):
        raise QweftError(f"{adapter}: {method} runs in Python alone, as {reason}; use qweft serve or qweft chat")
    if config.to not in LORAS:
        if config.rank is not None:
            raise QweftError(f"--rank {config.rank} is of a LoRA, and --to {config.to} writes none; leave it out")
        return
    merged = "--to merged" if config.to == "lora" else "--to merged-gguf"
    if reason := why_no_lora(saved):
        raise QweftError(f"{adapter}: no LoRA is near {method}, as {reason}; give {merged}")
    if config.to == "lora" and config.rank is None and is_plain_lora(saved):
        raise QweftError(f"{adapter}: nothing to export, it is a LoRA already; give --rank, or another format")
    if config.to == "gguf" and whole:
        raise QweftError(
            f"{adapter}: {short_repr(whole)} were trained whole, and a LoRA in GGUF holds no whole module; "
            f"give {merged}"
        )


def _sections(
    adapter: Path, calibration: str | None, overrides: Mapping[str, Any]
) -> tuple[ModelConfig, DataConfig, DataConfig | None, EvaluationConfig]:
    """Return the model, the data with the held-out rows, other calibration text, and the evaluation."""
    own, given = run_config(adapter).get("data", {}), overrides.get("data", {})
    if calibration is not None and not own and not given.keys() & {"source", "sources"}:
        given = {**given, "source": calibration}
    model, data, evaluation = sections_of(adapter, {**overrides, "data": given})
    check_evaluation(evaluation, data)
    other = None
    if calibration is not None and not same_source(calibration, data.source):
        other = replace(data, source=calibration, sources=None, test_rows=0, validation_rows=0, train_rows=None)
        if own and "source" not in given and "columns" in given:  # those of the run's text are known
            data = replace(data, columns=own.get("columns") or {})
            other = replace(other, columns=given["columns"])
    return model, data, other, evaluation


def load_rows(plan: ExportPlan, tokenizer: Any) -> tuple[Data, list[Encoded]]:
    """Return the data with the held-out rows, used neither for training nor for the fit, and the calibration rows."""
    data, split = load_data(plan.held_out, tokenizer), plan.evaluation.split
    check_unseen(plan.adapter, plan.overrides, data, split, tokenizer)
    text = data if plan.calibration is None else load_data(plan.calibration, tokenizer)
    judged = {tuple(row["input_ids"]) for row in data.held_out(split)}  # other text may hold these rows, too
    fresh = [row for row in text.train if tuple(row["input_ids"]) not in judged]
    return data, first_rows(fresh, plan.config.calibration_tokens)


def first_rows(rows: Sequence[Encoded], tokens: int) -> list[Encoded]:
    """Return the first rows within a limit of tokens, but at least two."""
    taken: list[Encoded] = []
    for row in rows:
        tokens -= len(row["input_ids"])
        if len(taken) >= 2 and tokens < 0:
            break
        taken.append(row)
    return taken
