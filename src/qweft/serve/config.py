"""Options of `qweft serve`, and its checks before PyTorch is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qweft.chat.checks import check_kind
from qweft.errors import QweftError
from qweft.evaluation.record import dtype_of, model_of, tell
from qweft.method.saved import check_folder
from qweft.models.config import ModelConfig
from qweft.models.resolve import check_model

BASE = "base"
"""Name of the base model without an adapter."""
PACKAGES = ("fastapi", "uvicorn", "openai", "pydantic")
"""What transformers' server needs."""


@dataclass(frozen=True)
class ServeConfig:
    """The address of the server, and the base model.

    Args:
        host: Address to listen at. The default is this machine alone; there is no password.
        port: Port to listen at; 0 chooses a free one.
        model: The base model, where it differs from the training run.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: ModelConfig = field(default_factory=ModelConfig)


def check_serve(
    targets: Sequence[str], config: ServeConfig, overrides: Mapping[str, Any]
) -> tuple[ModelConfig, dict[str, Path]]:
    """Checks everything that can be checked before a model is loaded.

    Args:
        targets: FOLDER or NAME=FOLDER of each adapter.
        config: The options.
        overrides: Keys of the section model that differ from the training runs.

    Returns:
        The base model, and the adapters' folders by name.

    Raises:
        QweftError: If an option is wrong, a folder has no adapter or one of another base model, two adapters have one
            name, or a package is missing.
    """
    if not 0 <= config.port < 65536:
        raise QweftError(f"--port {config.port}: ports are 0 to 65535")
    folders = _named(targets)
    models = {}
    for name, folder in folders.items():
        check_folder(folder)
        check_kind(folder)
        models[name] = model_of(folder, dict(overrides))
    (first, model), *others = models.items()
    for name, other in others:
        if other.quantization != model.quantization and "quantization" not in overrides.get("model", {}):
            raise QweftError(
                f"{name} was trained on a base model with quantization {other.quantization}, and {first} on one with "
                f"{model.quantization}; a server has one, which --model.quantization names"
            )
        if other.name != model.name and "name" not in overrides.get("model", {}):
            raise QweftError(
                f"{name} is an adapter of {other.name}, and {first} one of {model.name}; a server has one base model, "
                "which --model.name names where the two names mean the same"
            )
        own, served = dtype_of(folders[name], other), dtype_of(folders[first], model)
        if own != served and "dtype" not in overrides.get("model", {}):
            tell(
                f"note: {name} was trained with model.dtype {own}, and the base model is served in that of {first}, "
                f"{served}; --model.dtype names another"
            )
    check_model(model)
    missing = next((name for name in PACKAGES if find_spec(name) is None), None)
    if missing is not None:
        raise QweftError(f"qweft serve needs the package {missing}; pip install '.[serve]'")
    return model, folders


def _named(targets: Sequence[str]) -> dict[str, Path]:
    """Returns the folders by name: the given one, else the folder's, or its parent's where runs call it adapter.

    Raises:
        QweftError: If there is no such folder, or a name is taken.
    """
    found: dict[str, Path] = {}
    for target in targets:
        given, equals, path = target.partition("=")
        has_name = bool(equals) and not Path(target).exists()
        folder = Path(path if has_name else target)
        if not folder.is_dir():
            raise QweftError(f"{folder}: no such folder; qweft serve takes folders of trained adapters, or NAME=FOLDER")
        at = folder.resolve()
        name = given if has_name else at.parent.name if at.name == "adapter" else at.name
        if not name or name == BASE or name in found:
            raise QweftError(f"{target}: the name {name!r} is taken or empty; give another as NAME={folder}")
        found[name] = folder
    return found
