"""What an export will do: its options, output folder, model and text, checked before PyTorch is imported."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qweft.data.checks import check_data_config, check_places, same_source
from qweft.data.config import MOST_HELD_OUT, DataConfig
from qweft.data.load import load_data, read_conversations
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.record import run_config, sections_of
from qweft.evaluation.unseen import check_unseen
from qweft.exporting.config import LORAS, ExportConfig, Target, check_export, check_gguf_type
from qweft.files import check_can_be_written
from qweft.method.saved import check_saved, read_saved
from qweft.method.shipping import is_plain_lora, method_name, why_no_lora, why_not_merged
from qweft.models.config import ModelConfig
from qweft.models.resolve import ModelSource, check_model
from qweft.records import read_json, read_record
from qweft.text import shown

SECTIONS = ("model", "data", "evaluation")
REPORT = "export.json"
OF_THE_SPLIT = ("test_rows", "validation_rows", "split_seed", "max_length", "overlong", "max_rows", "max_characters")
"""Keys of the data section that decide which rows are held out."""
HELD_OUT_SHARE = 4
"""Inverse share of rows to hold out of text without a run's split, up to `MOST_HELD_OUT`."""


@dataclass(frozen=True)
class ExportPlan:
    """An export that can start.

    `held_out` has the held-out rows and, without other text in `calibration`, the calibration rows: its training rows.
    """

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


def plan_export(adapter: Path, options: Mapping[str, Any] | None, needs_weights: bool = False) -> ExportPlan:
    """Check everything that can be checked before an adapter is exported."""
    given = dict(options or {})
    overrides = {name: given.pop(name) for name in SECTIONS if name in given}
    config = ExportConfig(**given)
    check_export(config)
    output = Path(config.output) if config.output else adapter.parent / config.to
    if not config.output and output.is_symlink():  # by a stranger's folder; what stands where it leads is another's
        raise QweftError(f"output {output} is a link to {os.path.realpath(output)}; remove it, or give --output")
    output = Path(os.path.realpath(output))  # of a link to itself, `resolve` raises another error
    _check_output(output, adapter, config.to)
    check_saved(adapter)
    _check_method(adapter, config)
    plan = ExportPlan(adapter, config, overrides, output, *_sections(adapter, config.calibration, overrides))
    for data in (plan.held_out, plan.calibration):
        if data is not None:
            check_data_config(data)
            check_places(data)
    base = check_model(plan.model, needs_weights)
    if "gguf" in config.to and isinstance(base, ModelSource) and base.local:
        check_gguf_type(read_json(Path(base.location) / "config.json", "copy the model anew").get("model_type"))
    return plan


def _check_output(output: Path, adapter: Path, to: Target) -> None:
    """Raise unless the output folder is new, empty or an earlier export to the same format."""
    if output == adapter.resolve():
        raise QweftError(f"output {output} is the adapter itself; choose another --output")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        try:
            is_earlier = read_record(output / REPORT, "").get("to") == to
        except QweftError:
            is_earlier = False
        if not is_earlier:
            raise QweftError(f"output {output} holds something that is no export to {to}; choose another --output")
    check_can_be_written(output.parent)


def _check_method(adapter: Path, config: ExportConfig) -> None:
    """Raise unless the adapter can be exported to the format."""
    saved = read_saved(adapter)
    method, whole = method_name(saved), saved.get("modules_to_save")
    if reason := why_not_merged(saved):
        raise QweftError(f"{adapter}: {method} runs in Python alone, as {reason}; use qweft serve or qweft chat")
    if config.to not in LORAS:
        return
    merged = "--to merged" if config.to == "lora" else "--to merged-gguf"
    if reason := why_no_lora(saved):
        raise QweftError(f"{adapter}: no LoRA is near {method}, as {reason}; give {merged}")
    if config.to == "lora" and config.rank is None and is_plain_lora(saved):
        raise QweftError(f"{adapter}: nothing to export, it is a LoRA already; give --rank, or another format")
    if config.to == "gguf" and whole:
        raise QweftError(
            f"{adapter}: {shown(whole)} were trained whole, and a LoRA in GGUF holds no whole module; give {merged}"
        )


def _sections(
    adapter: Path, calibration: str | None, overrides: Mapping[str, Any]
) -> tuple[ModelConfig, DataConfig, DataConfig | None, EvaluationConfig]:
    """Return the model, the data with the held-out rows, other calibration text, and the evaluation.

    Another split of the run's own text would hold out rows that the adapter was trained on, and is refused.
    """
    own, given = run_config(adapter).get("data", {}), overrides.get("data", {})
    named = own.get("source")
    if named is not None and same_source(given.get("source", named), named):
        for key in OF_THE_SPLIT:
            if given.get(key, own.get(key)) != own.get(key):
                raise QweftError(
                    f"--data.{key} {given[key]} is another split than the run's ({own.get(key)}), and would hold out "
                    "rows that the adapter was trained on; leave it out, or give other text with --data.source"
                )
    is_named = bool(own or given.keys() & {"source", "sources"})
    section = given if is_named or calibration is None else {**given, "source": calibration}
    model, data, evaluation = sections_of(adapter, {**overrides, "data": section})
    if not own and not given.keys() & {"test_rows", "validation_rows"}:
        check_data_config(data)
        count = min(MOST_HELD_OUT, max(1, sum(1 for _ in read_conversations(data)) // HELD_OUT_SHARE))
        data = replace(data, test_rows=count, validation_rows=count)
    check_evaluation(evaluation, data)
    other = None
    if calibration is not None and not same_source(calibration, data.source):
        other = replace(
            data, source=calibration, sources=None, file=None, test_rows=0, validation_rows=0, train_rows=None
        )
        if own and "source" not in given and "columns" in given:  # those of the run's text are known
            data = replace(data, columns=own.get("columns") or {})
            other = replace(other, columns=given["columns"])
    return model, data, other, evaluation


def load_rows(plan: ExportPlan, tokenizer: Any) -> tuple[list[Encoded], list[Encoded]]:
    """Return the held-out rows, used neither for training nor for the fit, and the calibration rows.

    The first calibration rows within the limit of tokens are taken, but at least two.
    """
    data, split = load_data(plan.held_out, tokenizer), plan.evaluation.split
    check_unseen(plan.adapter, plan.overrides, data, split, tokenizer)
    text = data if plan.calibration is None else load_data(plan.calibration, tokenizer)
    held_out = data.test if split == "test" else data.validation
    judged = {tuple(row["input_ids"]) for row in held_out}  # other text may hold the rows that the export is judged on
    fresh = [row for row in text.train if tuple(row["input_ids"]) not in judged]
    return held_out, first_rows(fresh, plan.config.calibration_tokens)


def first_rows(rows: Sequence[Encoded], tokens: int) -> list[Encoded]:
    """Return the first rows within a limit of tokens, but at least two."""
    taken: list[Encoded] = []
    for row in rows:
        tokens -= len(row["input_ids"])
        if len(taken) >= 2 and tokens < 0:
            break
        taken.append(row)
    return taken
