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
    """Everything that determines a run, except its method and its seed."""

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
    """What all runs share: one base model, one data set, one budget."""

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
        """Return the environment record of results.json."""
        return environment(
            model_origin=self.loaded.source.origin,
            data_fingerprint=self.data.report.fingerprint,
            command=command,
            device=str(self.loaded.device),
            dtype=str(self.loaded.dtype).removeprefix("torch."),
        )


def judged_rows(settings: RunSettings, data: Data) -> tuple[list[Encoded], list[Conversation]]:
    """Return the held-out rows that runs are judged on, and their texts."""
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
        """Return the run's record as `run_trial`, or `None` while it is being made, to be called again."""
        ...

    def call(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return function(context, *arguments), called in a process that holds the base model's weights."""
        ...

    def wait(self) -> None:
        """Wait until another call of `run` may succeed."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...


def fingerprint(context: Context, decides: dict[str, Any]) -> str:
    """Return a hash of the model, the data, and whatever else determines a run's result."""
    shared: dict[str, Any] = {
        "model": [context.loaded.source.origin, str(context.loaded.dtype), context.loaded.device.type],
        "data": context.data.report.fingerprint,
    }
    return hashlib.sha256(json.dumps({**shared, **decides}, sort_keys=True, default=str).encode()).hexdigest()
