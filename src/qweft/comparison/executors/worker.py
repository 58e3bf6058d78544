"""What an actor does: one base model, and the runs that it is told to make on it."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from qweft.comparison.claims import LOCK
from qweft.comparison.context import Context, RunSettings, checksum
from qweft.comparison.executors.local import Local
from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.comparison.trial import trial_here
from qweft.data.load import Data
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.models.load import load_model


class Worker:
    """Knows nothing of the output folder: files come with the work, and go back with what it gave."""

    def load(
        self, settings: RunSettings, data: Data, elsewhere: list[Encoded]
    ) -> tuple[torch.dtype, torch.device, str]:
        """Load the base model; its type, its device and its checksum."""
        loaded = load_model(settings.model)
        console = Console(quiet=True)
        self.context = Context(settings, loaded, data, console, checksum(loaded.model), Local(), elsewhere)
        return loaded.dtype, loaded.device, self.context.base_checksum

    def run(
        self, settings: RunSettings, method: Method | None, seed: int, files: Mapping[str, bytes], keep_adapter: bool
    ) -> tuple[Run, dict[str, bytes]]:
        """Make the run, or add to a finished one what it lacks; its record, and all files of its folder."""
        context = replace(self.context, settings=settings)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_files(folder, files)
            run = trial_here(context, method, seed, folder, keep_adapter)
            if run is None:
                raise QweftError(
                    f"{folder}: another process is in the folder that was made for this run; start it again"
                )
            return run, read_files(folder)

    def call(self, settings: RunSettings, function: Callable[..., Any], *arguments: Any) -> Any:
        """What function(context, *arguments) gives."""
        return function(replace(self.context, settings=settings), *arguments)


def read_files(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their names in it, but for its lock; empty where there is no folder."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write them."""
    for name, content in files.items():
        write_bytes(folder / name, content)
