"""Loading a saved adapter: the config of its training run, and the base model with the adapter."""

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
    """Return the training run's model, data and evaluation sections, with overrides.

    Without a run's record, the model's name comes from the adapter's config.

    Args:
        adapter: The adapter's folder.
        overrides: Settings by section.

    Raises:
        QweftError: If the folder holds no adapter, the model or the data are unknown, or the record cannot be read.
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
    """Check that the folder holds an adapter.

    Raises:
        QweftError: If the adapter's config or weights are missing.
    """
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise QweftError(f"{adapter}: no {name} in it; give the folder that an adapter was saved to")


def model_of(adapter: Path, overrides: dict[str, Any]) -> ModelConfig:
    """Return the training run's model section, with overrides, for commands without data.

    Args:
        adapter: The adapter's folder.
        overrides: Settings by section.

    Raises:
        QweftError: If the model is unknown, or the run's record cannot be read or was written by another version.
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
    """Return the config of the run that trained the adapter, from run.json in the parent folder; empty without one.

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
    """Load an adapter onto the base model and return the model in evaluation mode.

    Args:
        loaded: The base model.
        adapter: The adapter's folder.

    Raises:
        QweftError: If the folder holds no adapter, or its file does not fit the model.
    """
    check_folder(adapter)
    read_config(adapter)
    try:
        with quiet_peft():
            # for other methods PEFT only warns about missing keys, and the adapter would have no effect
            warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
            return PeftModel.from_pretrained(loaded.model, str(adapter)).eval()
    except QweftError:
        raise
    except (ValueError, TypeError, RuntimeError, KeyError, OSError, SafetensorError, UserWarning) as error:
        raise QweftError(f"{adapter}: the adapter does not load on {loaded.source.name}: {str(error)[:600]}") from error
