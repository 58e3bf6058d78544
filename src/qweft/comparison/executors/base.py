"""What a place where runs are made offers."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from qweft.comparison.bench import Bench
    from qweft.comparison.methods import Method
    from qweft.comparison.results import Run
    from qweft.evaluation.config import EvaluationConfig


class Executor(Protocol):
    """Makes runs somewhere; all that they leave is in the output folder of the process that asked."""

    def run(
        self, bench: "Bench", method: "Method | None", seed: int, judging: "EvaluationConfig", folder: Path,
        keep_adapter: bool,
    ) -> "Run | None":  # fmt: skip
        """As `run_trial`: the run's record, or none while it is being made, to be asked again later."""
        ...

    def call(self, bench: "Bench", function: Callable[..., Any], *arguments: Any) -> Any:
        """What function(bench, *arguments) gives where the weights of the base model are."""
        ...

    def wait(self) -> None:
        """Wait until it may be worth asking again."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
