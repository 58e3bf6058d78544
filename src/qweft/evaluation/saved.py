"""An adapter's folder opened again: what it was trained on, and the model with it."""

import json
import warnings
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import SafetensorError

from qweft.adapter.attach import quiet_peft
from qweft.adapter.folder import read_config
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel


def sections_of(adapter: Path, overrides: dict[str, Any]) -> tuple[ModelConfig, DataConfig, EvaluationConfig]:
    """The run's own sections with the overrides on top; what no run left behind is taken from the adapter's config.

    Raises:
        QweftError: If the folder holds no adapter, or nothing says which model or data to use.
    """
    check_folder(adapter)
    saved = run_config(adapter)
    model = _model_section(adapter, saved, overrides)
    data = {**saved.get("data", {}), **overrides.get("data", {})}
    if "source" not in data:
        raise QweftError(f"{adapter}: no run.json beside it says on which data to judge; give --data.source")
    evaluation = {**saved.get("evaluation", {}), **overrides.get("evaluation", {})}
    try:
        return ModelConfig(**model), DataConfig(**data), EvaluationConfig(**evaluation)
    except TypeError as error:
        raise QweftError(
            f"{_record(adapter)} was written by another version ({error}); remove it and give --data.source"
        ) from error


def check_folder(adapter: Path) -> None:
    """See that an adapter was saved to this folder.

    Raises:
        QweftError: If a file is missing.
    """
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise QweftError(f"{adapter}: no {name} in it; give the folder that an adapter was saved to")


def model_of(adapter: Path, overrides: dict[str, Any]) -> ModelConfig:
    """The run's base model with the overrides on top, for what needs no data.

    Raises:
        QweftError: If nothing says which model to use, or the record of the run is of another version.
    """
    model = _model_section(adapter, run_config(adapter), overrides)
    try:
        return ModelConfig(**model)
    except TypeError as error:
        raise QweftError(
            f"{_record(adapter)} was written by another version ({error}); remove it and give --model.name"
        ) from error


def _model_section(adapter: Path, saved: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    model = {**saved.get("model", {}), **overrides.get("model", {})}
    if "name" not in model:
        named = read_config(adapter).base_model_name_or_path
        if named is None:
            raise QweftError(f"{adapter}: its adapter_config.json names no base model; give one with --model.name")
        model["name"] = named
    return model


def run_config(adapter: Path) -> dict[str, Any]:
    """The sections of the run that trained the adapter, from the record beside it; empty where there is none.

    Raises:
        QweftError: If the record cannot be read.
    """
    record = _record(adapter)
    try:
        saved: dict[str, Any] = json.loads(record.read_text("utf-8")).get("config", {}) if record.is_file() else {}
    except (ValueError, AttributeError) as error:
        raise QweftError(f"{record} is not the record of a run ({error}); remove it and give --data.source") from error
    return saved


def _record(adapter: Path) -> Path:
    return adapter.parent / "run.json"


def put_on(loaded: LoadedModel, adapter: Path) -> Any:
    """The base model with the adapter of that folder on it, in evaluation mode.

    Raises:
        QweftError: If the folder holds no adapter, or its file does not fit the model.
    """
    check_folder(adapter)
    read_config(adapter)
    try:
        with quiet_peft():
            # of other methods than ours PEFT itself only warns, and the adapter then does nothing
            warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
            return PeftModel.from_pretrained(loaded.model, str(adapter)).eval()
    except QweftError:
        raise
    except (ValueError, TypeError, RuntimeError, KeyError, OSError, SafetensorError, UserWarning) as error:
        raise QweftError(f"{adapter}: the adapter does not load on {loaded.source.name}: {str(error)[:600]}") from error
