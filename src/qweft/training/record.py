"""The record of a run, and whether it tells of a finished run with the same settings."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from qweft.errors import QweftError
from qweft.method.effective import needs_rows_first
from qweft.method.presets import stated
from qweft.records import read_record
from qweft.training.config import RunConfig
from qweft.training.distributed import processes

RECORD = "run.json"
"""File next to the adapter's folder with the run's full config and results."""


def decides(config: RunConfig) -> dict[str, Any]:
    """Return the settings that determine the result, beside what `is_of` compares."""
    return {
        "model": config.model.decides(),
        "data": config.data.decides(),
        "adapter": stated(config.adapter),
        "training": config.training.decides(needs_rows_first(config.adapter)),
        "validation": asdict(config.validation),
    }


def finished(record: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the record if a run with the same settings has finished, else `None`."""
    try:
        saved = read_record(record, "remove it to train anew")
        rows = {part: counts["rows"] for part, counts in saved["data"]["parts"].items()}
        # settings that follow from the rows are those of the record
        data, training = config.data.with_held_out(rows), config.training.for_rows(rows["train"])
        config = replace(config, data=data, training=training)
        return saved if saved["decides"] == json.loads(json.dumps(decides(config))) else None
    except (QweftError, AttributeError, KeyError, TypeError):
        return None


def is_of(saved: dict[str, Any], fingerprint: str, weights: str, dtype: str) -> bool:
    """Return whether a record is of these rows and base weights, and of as many processes."""
    theirs = saved["data"]["fingerprint"], saved["weights"], saved["dtype"], saved["processes"]
    return theirs == (fingerprint, weights, dtype, processes())
