"""Checks of adapters that are to answer, before PyTorch is imported."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qweft.core.errors import QweftError
from qweft.evaluation.record import model_of
from qweft.method.saved import check_saved
from qweft.models.checks import check_model
from qweft.models.config import ModelConfig
from qweft.models.find import find_model
from qweft.serve.config import ChatConfig

BASE = "base"
"""Name of the base model without an adapter."""


def check_chat(adapter: Path, config: ChatConfig, overrides: Mapping[str, Any]) -> tuple[ModelConfig, dict[str, Path]]:
    """Check the models of a chat; return the base model, and the adapters' folders by name."""
    beside = [] if config.beside in (None, BASE) else [str(config.beside)]
    return check_adapters([str(adapter), *beside], overrides)


def check_adapters(targets: Iterable[str], overrides: Mapping[str, Any]) -> tuple[ModelConfig, dict[str, Path]]:
    """Check that adapters, each FOLDER or NAME=FOLDER, can answer on one base model; return both by name."""
    folders = _named(targets)
    for folder in folders.values():
        check_saved(folder)
    given = overrides.get("model", {})
    models = {name: model_of(folder, dict(overrides)) for name, folder in folders.items()}
    (first, model), *more = models.items()
    for name, other in more:
        is_same = (
            "name" in given or other.name == model.name or find_model(other).location == find_model(model).location
        )
        if not is_same or ("quantization" not in given and other.quantization != model.quantization):
            raise QweftError(
                f"{name} is an adapter of {other.name} (quantization {other.quantization}), and {first} of "
                f"{model.name} ({model.quantization}); all must be of one base model, which --model.name and "
                "--model.quantization give"
            )
    check_model(model)
    return model, folders


def _named(targets: Iterable[str]) -> dict[str, Path]:
    """Return adapters' folders by name: the given one, or that of the run's folder."""
    folders: dict[str, Path] = {}
    for target in targets:
        name, equals, path = target.partition("=")
        is_named = bool(equals) and not Path(target).exists()
        folder = Path(path if is_named else target)
        if not folder.is_dir():
            raise QweftError(f"{folder}: no such folder; give that of a trained adapter, as FOLDER or NAME=FOLDER")
        if not is_named:
            place = folder.resolve()
            name = place.parent.name if place.name == "adapter" else place.name
        if not name or name in (BASE, *folders):
            raise QweftError(f"{target}: the name {name!r} is taken or empty; give another as NAME={folder}")
        folders[name] = folder
    return folders
