"""Options of `qweft serve` and `qweft ui`, and their checks before PyTorch is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qweft.chat.checks import BASE, check_adapters, short_name
from qweft.chat.config import ChatConfig
from qweft.errors import QweftError
from qweft.models.config import ModelConfig

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


@dataclass(frozen=True)
class PageConfig(ChatConfig):
    """The options of `ChatConfig`, and the port of the page.

    Args:
        port: Local port of the page; 0 chooses a free one.
    """

    port: int = 7860


def check_server(port: int, command: str) -> None:
    """Check a port, and that the packages of a server are there."""
    if not 0 <= port < 65536:
        raise QweftError(f"--port {port}: ports are 0 to 65535")
    missing = next((name for name in PACKAGES if find_spec(name) is None), None)
    if missing is not None:
        raise QweftError(f"qweft {command} needs the package {missing}; pip install '.[workbench]'")


def check_serve(
    targets: Sequence[str], config: ServeConfig, overrides: Mapping[str, Any]
) -> tuple[ModelConfig, dict[str, Path]]:
    """Check what can be checked before a model is loaded.

    Returns:
        The base model, and the adapters' folders by name.
    """
    check_server(config.port, "serve")
    folders: dict[str, Path] = {}
    for target in targets:
        given, equals, path = target.partition("=")
        has_name = bool(equals) and not Path(target).exists()
        folder = Path(path if has_name else target)
        if not folder.is_dir():
            raise QweftError(f"{folder}: no such folder; qweft serve takes folders of trained adapters, or NAME=FOLDER")
        name = given if has_name else short_name(folder)
        if not name or name == BASE or name in folders:
            raise QweftError(f"{target}: the name {name!r} is taken or empty; give another as NAME={folder}")
        folders[name] = folder
    return check_adapters(folders, overrides), folders
