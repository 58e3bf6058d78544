"""`Context`, which all runs of a comparison share, and `Executor`, which makes them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.data.config import DataConfig
from qweft.data.conversation import Conversation
from qweft.data.load import Data
from qweft.data.tokens import Encoded
from qweft.environment import environment
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel
from qweft.output import Console
from qweft.training.config import TrainingConfig


@dataclass(frozen=True)
class RunSettings:
    """Everything that determines a run, except its method and its seed.

    Args:
        model: The base model.
        data: The text.
        training: The budget. The method's learning rate and steps, and the seed, replace those here.
        evaluation: The held-out rows, and how a run is evaluated on them.
        first_seed: The runs at this seed generate answers and are inspected.
        inspect: Whether adapters are inspected after training.
        output: Folder of the runs.
        most_rows: Most validation and most test rows that a run is judged on; `None` means all.
        takes_failures: Whether a run for which the memory is too small is an outcome, as a diverged one is.
    """

    model: ModelConfig
    data: DataConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    first_seed: int
    inspect: bool
    output: str
    most_rows: tuple[int, int] | None = None
    takes_failures: bool = False


@dataclass
class Context:
    """What all runs share: one base model, one data set, one budget.

    The base model is loaded once. Each run attaches its adapter to it and detaches it again.

    Args:
        settings: Everything that determines a run, except its method and its seed.
        loaded: The base model.
        data: The rows.
        console: Where progress is printed.
        base_checksum: Checksum of the base model's weights before any run.
        executor: Makes the runs.
        elsewhere: Rows of other data, on which forgetting is measured; empty if it is not.
    """

    settings: RunSettings
    loaded: LoadedModel
    data: Data
    console: Console
    base_checksum: str
    executor: "Executor"
    elsewhere: Sequence[Encoded] = ()

    @property
    def output(self) -> Path:
        """Folder of the runs."""
        return Path(self.settings.output)

    def environment(self, command: str) -> dict[str, Any]:
        """Returns the environment record of results.json."""
        return environment(
            model_origin=self.loaded.source.origin,
            data_fingerprint=self.data.report.fingerprint,
            command=command,
            device=str(self.loaded.device),
            dtype=str(self.loaded.dtype).removeprefix("torch."),
        )


def judged_rows(settings: RunSettings, data: Data) -> tuple[list[Encoded], list[Conversation]]:
    """Returns the held-out rows that runs are judged on, and their texts.

    Fewer than all are taken at even distances: rows of one source, or of one group, stand beside each other.
    """
    validation, test = settings.most_rows or (None, None)
    rows, texts, most = data.test, data.test_conversations, test
    if settings.evaluation.split == "validation":
        rows, texts, most = data.validation, data.validation_conversations, validation
    if most is None or most >= len(rows):
        return rows, texts
    places = [place * len(rows) // most for place in range(most)]
    return [rows[place] for place in places], [texts[place] for place in places]


class Executor(Protocol):
    """Makes runs, here or elsewhere. All files end up in the output folder of the calling process."""

    def run(self, context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
        """Returns the run's record as `run_trial`, or `None` while it is being made, to be called again."""
        ...

    def call(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """Returns function(context, *arguments), called in a process that holds the base model's weights."""
        ...

    def wait(self) -> None:
        """Waits until another call of `run` may succeed."""
        ...

    def close(self) -> None:
        """Releases all resources."""
        ...


def fingerprint(context: Context, decides: dict[str, Any]) -> str:
    """Returns a hash of the model, the data, and whatever else determines a run's result."""
    shared: dict[str, Any] = {
        "model": [context.loaded.source.origin, str(context.loaded.dtype), context.loaded.device.type],
        "data": context.data.report.fingerprint,
    }
    return hashlib.sha256(json.dumps({**shared, **decides}, sort_keys=True, default=str).encode()).hexdigest()
