"""Checks of adapters that are to answer, and of `qweft chat`, before PyTorch is imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qweft.chat.config import ChatConfig
from qweft.errors import QweftError
from qweft.evaluation.record import dtype_of, model_of, tell
from qweft.method.peft_methods import fields_of
from qweft.method.saved import check_folder, check_saved, read_saved
from qweft.models.config import ModelConfig
from qweft.models.packages import prepared_folder
from qweft.models.resolve import ModelSource, check_model, find

BASE = "base"
"""Name of the base model without an adapter."""


def check_chat(adapter: Path, config: ChatConfig, overrides: Mapping[str, Any]) -> tuple[ModelConfig, dict[str, Path]]:
    """Check what can be checked before the models are loaded.

    Returns:
        The base model, and the adapters' folders by name.
    """
    config.check()
    folders = [adapter]
    if config.beside not in (None, BASE):
        beside = Path(config.beside or "")
        if not beside.is_dir():
            raise QweftError(f"--beside {beside}: no such folder; give base, or the folder of another adapter")
        if beside.resolve() == adapter.resolve():
            raise QweftError(f"--beside {beside} is the adapter itself; give base, or the folder of another one")
        folders.append(beside)
    names = [short_name(folder) for folder in folders]
    if len(set(names)) < len(names) or BASE in names:
        names = [str(folder) for folder in folders]
    named = dict(zip(names, folders, strict=True))
    return check_adapters(named, overrides), named


def short_name(folder: Path) -> str:
    """Return the last part of a folder's path, or its parent's for the folders named adapter that runs write."""
    path = folder.resolve()
    return path.parent.name if path.name == "adapter" else path.name


def check_adapters(folders: Mapping[str, Path], overrides: Mapping[str, Any]) -> ModelConfig:
    """Check that adapters can answer token by token, all on one copy of one base model; return that model."""
    given = overrides.get("model", {})
    for folder in folders.values():
        check_folder(folder)
        _check_kind(folder)
    models = {name: model_of(folder, dict(overrides)) for name, folder in folders.items()}
    (first, model), *more = models.items()
    for name, other in more:
        if "name" not in given and other.name != model.name and _location(other) != _location(model):
            raise QweftError(
                f"{name} is an adapter of {other.name}, and {first} one of {model.name}; all must be of one base "
                "model, which --model.name names where the names mean the same"
            )
        if "quantization" not in given and other.quantization != model.quantization:
            raise QweftError(
                f"{name} was trained on a base model with quantization {other.quantization}, and {first} on one with "
                f"{model.quantization}; give all the same with --model.quantization"
            )
        dtype, other_dtype = dtype_of(folders[first], model), dtype_of(folders[name], other)
        if "dtype" not in given and other_dtype != dtype:
            tell(
                f"note: {name} was trained with model.dtype {other_dtype}, and answers in that of {first}, {dtype}; "
                "--model.dtype names another"
            )
    check_model(model)
    return model


def _check_kind(folder: Path) -> None:
    """Raise for an adapter that needs the whole text at each call: an answer is read token by token."""
    check_saved(folder)
    saved = read_saved(folder)
    method = str(saved.get("peft_type"))
    if "num_virtual_tokens" in (fields_of(method) or ()):
        raise QweftError(
            f"{folder}: PEFT's method {method} puts virtual tokens before the text, which answers cannot be given "
            "with here; use PEFT's generate"
        )
    if saved.get("alora_invocation_tokens"):
        raise QweftError(
            f"{folder}: an activated LoRA (alora_invocation_tokens) looks for its tokens in the whole text, and an "
            "answer is read token by token here; use PEFT's generate"
        )


def _location(config: ModelConfig) -> str:
    found = find(config)
    return found.location if isinstance(found, ModelSource) else str(prepared_folder(found))
