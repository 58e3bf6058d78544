"""Runs made in this process, one after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qweft.comparison import claims

if TYPE_CHECKING:
    from qweft.comparison.bench import Bench
    from qweft.comparison.methods import Method
    from qweft.comparison.results import Run
    from qweft.evaluation.config import EvaluationConfig


class Local:
    """The process itself; others with the same output make what it is not at (`claims`)."""

    def run(
        self, bench: "Bench", method: "Method | None", seed: int, judging: "EvaluationConfig", folder: Path,
        keep_adapter: bool,
    ) -> "Run | None":  # fmt: skip
        """Make the run here, or read it; none while another process makes it."""
        from qweft.comparison.trial import trial_here  # here: a trial knows its bench, and a bench its executor

        return trial_here(bench, method, seed, judging, folder, keep_adapter)

    def call(self, bench: "Bench", function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function here."""
        return function(bench, *arguments)

    def wait(self) -> None:
        """Wait for other processes."""
        claims.sleep()

    def close(self) -> None:
        """Nothing is held."""
