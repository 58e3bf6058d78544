"""`qweft inspect`: an adapter's folder opened again and measured on rows that it was not trained on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qweft.analysis.config import InspectionConfig
from qweft.analysis.inspect import inspect_adapter
from qweft.analysis.inspection import Inspection
from qweft.data.collate import Collator
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.data.tokens import total_tokens
from qweft.errors import QweftError
from qweft.evaluation.preview import Preview, shapes_of
from qweft.evaluation.saved import put_on, sections_of
from qweft.files import check_writable, write_json
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.plural import many

SECTIONS = ("model", "data")
BATCH = 8
"""Rows at a time; nothing depends on it."""


def preview(adapter: Path, options: Mapping[str, Any] | None = None) -> Preview:
    """What `inspect` would measure; no weights are loaded.

    Raises:
        QweftError: If it could not begin.
    """
    config, model_config, data_config = _options(adapter, options)
    loaded, lines = shapes_of(adapter, model_config)
    data = load_data(data_config, loaded.tokenizer)
    rows = getattr(data, config.split)[: config.rows]
    what = f"{many(len(rows), 'row')} ({total_tokens(rows):,} tokens) of {data_config.source} ({config.split})"
    lines.append(f"every adapted layer on {what}, of which at most {many(config.tokens, 'token')} are looked at")
    return Preview((*lines, f"written to {config.output}" if config.output else "nothing is written"))


def inspect(adapter: Path, options: Mapping[str, Any] | None = None) -> Inspection:
    """Measure an adapter that lies in a folder.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors: QWTHN, or PEFT's own LoRA.
        options: Fields of `InspectionConfig`; of its sections only what differs from the run that trained the adapter.

    Returns:
        What was found, also written to `output` where that is given; the adapter is called by its folder.

    Raises:
        QweftError: If the folder holds no such adapter, an option is wrong, or model or data cannot be had.
    """
    config, model_config, data_config = _options(adapter, options)
    if config.output is not None:
        check_writable(Path(config.output).parent)
    loaded = load_model(model_config)
    data = load_data(data_config, loaded.tokenizer)
    rows = getattr(data, config.split)[: config.rows]
    collate = Collator(loaded.tokenizer.pad_token_id)
    batches = [collate(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    found = inspect_adapter(put_on(loaded, adapter), batches, tokens=config.tokens)
    found = replace(found, adapter=str(adapter))
    if config.output is not None:
        write_json(config.output, found.to_json())
    return found


def _options(adapter: Path, options: Mapping[str, Any] | None) -> tuple[InspectionConfig, ModelConfig, DataConfig]:
    given = dict(options or {})
    overrides = {name: given.pop(name) for name in SECTIONS if name in given}
    config = InspectionConfig(**given)
    model_config, data_config, _ = sections_of(adapter, overrides)
    _check(config, getattr(data_config, f"{config.split}_rows"))
    return config, model_config, data_config


def _check(config: InspectionConfig, available: int) -> None:
    """Ranges that types do not tell, before a model is loaded."""
    for name in ("rows", "tokens"):
        if getattr(config, name) < 1:
            raise QweftError(f"{name} must be at least 1, got {getattr(config, name)}")
    if available < 1:
        raise QweftError(f"data.{config.split}_rows is {available}: it must be at least 1 to inspect on those rows")
    if config.output is not None and Path(config.output).is_dir():
        raise QweftError(f"output {config.output} is a folder; give the name of a JSON file, as inspection.json")
