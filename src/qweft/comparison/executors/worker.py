"""What makes the runs: `Local` in this process, `Worker` in a Ray actor."""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from qweft.comparison import claims
from qweft.comparison.context import Context, RunSettings
from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.comparison.trial import trial_here
from qweft.data.load import Data
from qweft.data.tokens import Encoded
from qweft.errors import QweftError
from qweft.files import write_bytes
from qweft.models.config import allow_remote_code
from qweft.models.load import checksum, load_model
from qweft.output import Console


class Local:
    """Makes runs in this process; other processes with the same output folder can share them (`claims`)."""

    def run(self, context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
        """Make or reads the run here; `None` while another process makes it."""
        return trial_here(context, method, seed, folder, keep_adapter)

    def call(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function in this process."""
        return function(context, *arguments)

    def wait(self) -> None:
        """Wait for other processes."""
        claims.sleep()

    def close(self) -> None:
        """Do nothing: no resources are held."""


class Worker:
    """Makes runs in a Ray actor, on one base model."""

    def __init__(self, *shared: Any) -> None:
        self.shared = shared
        self.context: Context | None = None

    def base(self) -> tuple[torch.dtype, torch.device, str]:
        """Return dtype, device and checksum of the base model."""
        context = self._ready()
        return context.loaded.dtype, context.loaded.device, context.base_checksum

    def _ready(self) -> Context:
        """Return what the runs share, loaded once: also in an actor that Ray started anew."""
        if self.context is None:
            self.context = _loaded(*self.shared)
        return self.context

    def run(
        self, settings: RunSettings, method: Method | None, seed: int, files: Mapping[str, bytes], keep_adapter: bool
    ) -> tuple[Run, dict[str, bytes]]:
        """Make the run, or adds what a finished one lacks. Returns its record and all files of its folder."""
        context = replace(self._ready(), settings=settings)
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
        """Return function(context, *arguments)."""
        return function(replace(self._ready(), settings=settings), *arguments)


def _loaded(settings: RunSettings, data: Data, elsewhere: list[Encoded], remote_code: bool, folder: str) -> Context:
    if Path(folder).is_dir():  # the command's current folder, from which a base model's path may be named
        os.chdir(folder)
    allow_remote_code(remote_code)
    loaded = load_model(settings.model)
    return Context(settings, loaded, data, Console(quiet=True), checksum(loaded.model), Local(), elsewhere)


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by relative name, except the lock; a link in it leads to what is not its own."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    found = (path for path in files if path.name != claims.LOCK)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by relative name into a folder, and removes a link in place of one of its own folders."""
    for name, content in files.items():
        for parent in (folder / name).parents:
            if parent != folder and folder in parent.parents and parent.is_symlink():
                parent.unlink()
        write_bytes(folder / name, content)
