"""The rows of an export: calibration rows for the fit, and held-out rows for the evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qweft.data.checks import check_data_config, same_source
from qweft.data.config import MOST_HELD_OUT, DataConfig
from qweft.data.load import load_data, read_conversations
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.record import run_config, sections_of
from qweft.evaluation.unseen import check_unseen
from qweft.models.config import ModelConfig

HELD_OUT_SHARE = 4
"""Inverse share of rows to hold out of text without a run's split, up to `MOST_HELD_OUT`."""


@dataclass(frozen=True)
class RowsPlan:
    """The text to read.

    Args:
        held_out: Data with the held-out rows and, by default, the calibration rows: its training rows.
        calibration: Other text for the calibration rows; `None` without any.
        adapter: Folder of the adapter.
        overrides: Keys of the sections model, data and evaluation that differ from its run.
    """

    held_out: DataConfig
    calibration: DataConfig | None
    adapter: Path
    overrides: Mapping[str, Any]


@dataclass(frozen=True)
class Rows:
    """Held-out rows and calibration rows.

    Args:
        held_out_source: Source of the held-out rows.
        held_out: Rows used neither for training nor for the fit.
        calibration_source: Source of the calibration rows.
        calibration: Rows for the fit of the circuits.
    """

    held_out_source: str
    held_out: list[Encoded]
    calibration_source: str
    calibration: list[Encoded]


def plan_rows(
    adapter: Path, calibration: str | None, overrides: Mapping[str, Any]
) -> tuple[ModelConfig, RowsPlan, EvaluationConfig]:
    """Chooses the text of an export: the data of the training run, if it is recorded, and the calibration text.

    Args:
        adapter: Folder of the adapter, with or without the record of its run.
        calibration: Text to fit on; `None` means the run's training rows.
        overrides: Keys of the sections model, data and evaluation that differ from the run.

    Returns:
        The base model, the text, and the evaluation settings.

    Raises:
        QweftError: If no text is given, or the overrides change the split of the run's text. Another split would hold
            out rows that the adapter was trained on.
    """
    own, given = run_config(adapter).get("data", {}), overrides.get("data", {})
    named = own.get("source")
    if named is not None and same_source(given.get("source", named), named):
        _check_split(own, given)
    is_named = bool(own or given.keys() & {"source", "sources"})
    section = given if is_named or calibration is None else {**given, "source": calibration}
    model, data, evaluation = sections_of(adapter, {**overrides, "data": section})
    if not own:
        data = _sized(data, given)
    check_evaluation(evaluation, data)
    other = None
    if calibration is not None and not same_source(calibration, data.source):
        other = replace(
            data, source=calibration, sources=None, file=None, test_rows=0, validation_rows=0, train_rows=None
        )
        if own and "source" not in given and "columns" in given:  # those of the run's text are known
            data = replace(data, columns=own.get("columns") or {})
            other = replace(other, columns=given["columns"])
    return model, RowsPlan(data, other, adapter, overrides), evaluation


def load_rows(plan: RowsPlan, tokenizer: Any, split: str, tokens: int) -> Rows:
    """Reads the text.

    Args:
        plan: The text to read.
        tokenizer: The base model's tokenizer.
        split: Split of the held-out rows, "validation" or "test".
        tokens: Most calibration tokens. The first rows within this limit are taken, but at least two.

    Raises:
        QweftError: If a source cannot be read or has too few rows, or the adapter was trained on held-out rows.
    """
    data = load_data(plan.held_out, tokenizer)
    check_unseen(plan.adapter, plan.overrides, data, split, tokenizer)
    fitted = data if plan.calibration is None else load_data(plan.calibration, tokenizer)
    held_out = data.test if split == "test" else data.validation
    judged = {tuple(row["input_ids"]) for row in held_out}  # other text may hold the rows that the export is judged on
    fresh = [row for row in fitted.train if tuple(row["input_ids"]) not in judged]
    return Rows(plan.held_out.source, held_out, (plan.calibration or plan.held_out).source, _first(fresh, tokens))


def _check_split(own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises if the split differs from the run's, since it would hold out rows that the adapter was trained on."""
    for key in ("test_rows", "validation_rows", "split_seed", "max_length", "overlong", "max_rows", "max_characters"):
        if given.get(key, own.get(key)) != own.get(key):
            raise QweftError(
                f"--data.{key} {given[key]} is another split than the run's ({own.get(key)}), and would hold out rows "
                "that the adapter was trained on; leave it out, or give other text with --data.source"
            )


def _sized(config: DataConfig, given: Mapping[str, Any]) -> DataConfig:
    """Returns the config with a share of the rows held out, unless their numbers are given."""
    if "test_rows" in given or "validation_rows" in given:
        return config
    check_data_config(config)
    held_out = min(MOST_HELD_OUT, max(1, sum(1 for _ in read_conversations(config)) // HELD_OUT_SHARE))
    return replace(config, test_rows=held_out, validation_rows=held_out)


def _first(rows: Sequence[Encoded], tokens: int) -> list[Encoded]:
    """Returns the first rows with at most `tokens` tokens, but at least two rows."""
    taken: list[Encoded] = []
    for row in rows:
        tokens -= len(row["input_ids"])
        if len(taken) >= 2 and tokens < 0:
            break
        taken.append(row)
    return taken
