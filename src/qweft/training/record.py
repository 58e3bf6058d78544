"""The record of a run, and whether it tells of a finished run with the same settings."""

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from qweft.data.config import HELD_OUT
from qweft.data.report import DataReport
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.method.stated import as_recorded, needs_rows_first, stated
from qweft.records import check_damage, read_record
from qweft.training.config import RunConfig
from qweft.training.distributed import processes

RECORD = "run.json"
"""File next to the adapter's folder with the run's full config and results."""


def decides(config: RunConfig) -> dict[str, Any]:
    """Return the settings that determine the result: two runs with equal settings give the same adapter.

    `is_of` compares what else decides: rows, base weights and the number of processes.
    """
    return {
        "model": config.model.decides(),
        "data": config.data.decides(),
        "adapter": stated(config.adapter),
        "training": config.training.decides(needs_rows_first(config.adapter)),
        "validation": asdict(config.validation),
    }


def finished(record: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the record if a run with the same settings has finished, else `None`.

    Raises:
        OSError: The disk or its permissions refuse it, and the run is to go on.
    """
    try:
        saved = read_record(record, "remove it to train anew")
        if None in (config.data.validation_rows, config.data.test_rows):  # the record has what followed from its rows
            report = DataReport(**saved["data"])
            config = replace(config, data=config.data.sized({part: report.rows_of(part) for part in HELD_OUT}))
        theirs = saved["decides"] | {"adapter": as_recorded(saved["decides"]["adapter"])}
    except (QweftError, AttributeError, KeyError, TypeError) as error:
        if config.resume == "auto":  # else the run is made anew in any case
            check_damage(error)
        return None
    return saved if theirs == json.loads(json.dumps(decides(config))) else None


def is_judged(saved: dict[str, Any]) -> bool:
    """Whether the record of a run has its held-out loss; a run that was stopped as it was judged has none."""
    return "adapted" not in saved or saved["adapted"] is not None


def check_judged_alike(saved: dict[str, Any], split: str, output: Path) -> None:
    """Check that the losses of a finished run are those of the rows that are asked for.

    Raises:
        QweftError: They are of another split.
    """
    config = saved.get("config")
    evaluation = config.get("evaluation") if isinstance(config, dict) else None
    theirs = evaluation.get("split", split) if isinstance(evaluation, dict) else split
    if theirs != split:
        raise QweftError(
            f"the run in {output} is finished and was judged on its {theirs} rows; judge the others by qweft evaluate "
            f"{shlex.quote(str(output / 'adapter'))} --evaluation.split {split}, or train anew by --resume no"
        )


def left_to_judge(saved: dict[str, Any], evaluation: EvaluationConfig, output: Path) -> str:
    """Return the command for what is asked of the evaluation beyond the record of a finished run; else an empty text.

    Metrics and tasks of the harness are never in a run's record.
    """
    config = saved.get("config")
    theirs = config.get("evaluation") if isinstance(config, dict) else None
    theirs = theirs if isinstance(theirs, dict) else {}
    asked = [
        f"--evaluation.{name} {shlex.quote(','.join(value) if isinstance(value, list) else str(value))}"
        for name in ("metrics", "lm_eval", "answers", "forgetting", "forgetting_rows", "forgetting_length")
        if (value := getattr(evaluation, name)) and (name in ("metrics", "lm_eval") or value != theirs.get(name, value))
    ]
    return f"qweft evaluate {shlex.quote(str(output / 'adapter'))} {' '.join(asked)}" if asked else ""


def is_of(saved: dict[str, Any], fingerprint: str, weights: str, dtype: str) -> bool:
    """Whether a record, from `finished`, is of these rows and base weights, and of as many processes.

    Earlier versions recorded neither weights nor processes.

    Args:
        saved: The record.
        fingerprint: Of the rows.
        weights: Checksum of the base model's weights.
        dtype: Their type.
    """
    rows = saved["data"].get("fingerprint") if isinstance(saved["data"], dict) else None
    theirs = rows, saved.get("weights", weights), saved.get("dtype", dtype), saved.get("processes", processes())
    return theirs == (fingerprint, weights, dtype, processes())
