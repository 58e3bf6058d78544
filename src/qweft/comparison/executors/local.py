"""Runs made in this process, one after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qweft.comparison import claims
from qweft.comparison.context import Context
from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.comparison.trial import trial_here


class Local:
    """The process itself; others with the same output make what it is not at (`claims`)."""

    def run(self, context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
        """Make the run here, or read it; `None` while another process makes it."""
        return trial_here(context, method, seed, folder, keep_adapter)

    def call(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function here."""
        return function(context, *arguments)

    def wait(self) -> None:
        """Wait for other processes."""
        claims.sleep()

    def close(self) -> None:
        """Nothing is held."""
