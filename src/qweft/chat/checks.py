"""Checks of `qweft chat` and `qweft ui`, before PyTorch is imported."""

from pathlib import Path
from typing import Any

from qweft.chat.config import ChatConfig
from qweft.errors import QweftError
from qweft.evaluation.record import model_of
from qweft.method.peft_methods import fields_of
from qweft.method.saved import check_folder, check_saved, read_saved
from qweft.models.config import ModelConfig
from qweft.models.packages import prepared_folder
from qweft.models.resolve import ModelSource, check_model, find

BASE = "base"


def check_chat(adapter: Path, config: ChatConfig, overrides: dict[str, Any]) -> tuple[ModelConfig, list[Path]]:
    """Checks everything that can be checked before the chat models are loaded.

    Args:
        adapter: The adapter's folder.
        config: Options; `beside` names the second model.
        overrides: Keys of the section model that differ from the training run.

    Returns:
        The base model, and the folders of the adapters.

    Raises:
        QweftError: If an option is wrong, a folder has no adapter, an adapter is unsuitable or belongs to another base
            model, or the base model is not there.
    """
    config.check()
    check_folder(adapter)
    model = model_of(adapter, overrides)
    beside = None if config.beside in (None, BASE) else Path(config.beside or "")
    folders = [adapter] if beside is None else [adapter, beside]
    if beside is not None:
        _check_beside(adapter, beside, overrides)
    for folder in folders:
        check_kind(folder)
    check_model(model)
    return model, folders


def _check_beside(adapter: Path, beside: Path, overrides: dict[str, Any]) -> None:
    """Raises unless the second adapter belongs to the same base model."""
    if not beside.is_dir():
        raise QweftError(f"--beside {beside}: no such folder; give base, or the folder of another adapter")
    check_folder(beside)
    if beside.resolve() == adapter.resolve():
        raise QweftError(f"--beside {beside} is the adapter itself; give base, or the folder of another one")
    here, there = (model_of(folder, overrides) for folder in (adapter, beside))
    if here.quantization != there.quantization:
        raise QweftError(
            f"--beside {beside}: its base model has quantization {there.quantization}, and that of {adapter} has "
            f"{here.quantization}; give both one with --model.quantization"
        )
    if "name" in overrides.get("model", {}):
        return  # the user chose the model; an adapter that does not fit fails to load
    if here.name != there.name and _location(here) != _location(there):
        raise QweftError(
            f"--beside {beside} is an adapter of {there.name}, and {adapter} one of {here.name}; both must be of one "
            "base model, which --model.name names where the two names mean the same"
        )


def check_kind(folder: Path) -> None:
    """Checks that an adapter does not need the whole text at each call: an answer is read token by token.

    Virtual tokens of prompt learning would be inserted before each single token. An activated LoRA would not act.

    Raises:
        QweftError: If it does.
    """
    check_saved(folder)
    saved = read_saved(folder)
    method = str(saved.get("peft_type"))
    if "num_virtual_tokens" in (fields_of(method) or ()):
        raise QweftError(f"{folder}: PEFT's method {method} puts virtual tokens before the text; chat knows no such")
    if saved.get("alora_invocation_tokens"):
        raise QweftError(
            f"{folder}: an activated LoRA (alora_invocation_tokens) looks for its tokens in the whole text, and chat "
            "reads an answer token by token; use PEFT's generate"
        )


def _location(config: ModelConfig) -> str:
    found = find(config)
    return found.location if isinstance(found, ModelSource) else str(prepared_folder(found))
