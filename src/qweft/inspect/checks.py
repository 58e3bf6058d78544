"""Checks of `qweft inspect`, before PyTorch is imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.files import check_file
from qweft.core.reader import check_values
from qweft.core.records import read_record
from qweft.data.checks import check_data_config, check_sources
from qweft.data.config import DataConfig
from qweft.evaluation.checks import Preview, check_evaluation
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.record import sections_of
from qweft.inspect.config import InspectionConfig
from qweft.method.names import CORES, has_circuit
from qweft.method.saved import check_saved, read_saved
from qweft.models.checks import check_model
from qweft.models.config import ModelConfig


def check_inspection(
    adapter: Path, options: Mapping[str, Any] | None
) -> tuple[InspectionConfig, ModelConfig, DataConfig]:
    """Check everything that can be checked before an adapter is inspected."""
    check_saved(adapter)
    given = dict(options or {})
    overrides: dict[str, Any] = {name: given.pop(name) for name in ("model", "data") if name in given}
    config = InspectionConfig(**given)
    check_values(config, "")
    with_circuit = [core for core in CORES if has_circuit(core)]
    if config.dequantise and read_saved(adapter).get("core") not in with_circuit:  # before all that is measured first
        raise QweftError(f"dequantise replaces circuits, and {adapter} has none; leave dequantise out")
    model_config, data_config, _ = sections_of(adapter, overrides)
    check_evaluation(EvaluationConfig(split=config.split), data_config)
    if config.output is not None:
        file = Path(config.output)
        check_file(file, "--output")
        if file.exists() and "layers" not in read_record(file, "give another --output"):
            raise QweftError(f"--output {file} is there already, and no inspection wrote it; give another --output")
    check_data_config(data_config)
    check_sources(data_config)
    check_model(model_config)
    return config, model_config, data_config


def preview(adapter: Path, options: Mapping[str, Any] | None = None) -> Preview:
    """Describe the work of `qweft inspect`, after all checks that need no model."""
    config, model, data = check_inspection(adapter, options)
    text = f"{config.rows} {config.split} rows of {data.source_of(config.split)}"
    lines = [
        f"adapter {adapter} on {model.name}",
        f"every adapted layer on {text}, at most {config.tokens} tokens a layer",
    ]
    lines += ["the circuits replaced by classical fits: half of the rows to fit, half to judge"] * config.dequantise
    return Preview((*lines, f"written to {config.output}" if config.output else "nothing is written"))
