"""What the runs of a comparison share, and what makes them: `Context` and `Executor`."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console

from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.data.config import DataConfig
from qweft.data.load import Data
from qweft.data.tokens import Encoded
from qweft.environment import environment
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel
from qweft.training.config import TrainingConfig


@dataclass(frozen=True)
class RunSettings:
    """What a run follows from besides its method and its seed.

    Args:
        model: The base model.
        data: The text.
        training: The budget; a method's learning rate and steps, and the seed, replace its own.
        evaluation: The rows that a run is judged on, and how.
        first_seed: The runs at this seed show answers and are inspected.
        inspect: Whether adapters are measured after training.
        output: Folder of the runs.
    """

    model: ModelConfig
    data: DataConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    first_seed: int
    inspect: bool
    output: str


@dataclass
class Context:
    """What all runs share: one base model, one data set, one budget.

    The base model is loaded once; each run puts its adapter on it and takes it off again.

    Args:
        settings: What a run follows from besides its method and its seed.
        loaded: The base model.
        data: The rows.
        console: Where progress is told.
        base_checksum: Of the base model's weights, before any run.
        executor: What makes the runs.
        elsewhere: Rows of other data, on which forgetting is measured; empty where it is not.
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
        """What the results were computed with, as results.json keeps it."""
        return environment(
            model_origin=self.loaded.source.origin,
            data_fingerprint=self.data.report.fingerprint,
            command=command,
            device=str(self.loaded.device),
            dtype=str(self.loaded.dtype).removeprefix("torch."),
        )


class Executor(Protocol):
    """Makes runs somewhere; all that they leave is in the output folder of the process that asked."""

    def run(self, context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
        """As `run_trial`: the run's record, or `None` while it is being made, to be asked again later."""
        ...

    def call(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """What function(context, *arguments) gives where the weights of the base model are."""
        ...

    def wait(self) -> None:
        """Wait until it may be worth asking again."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def checksum(model: Any) -> str:
    """A hash of the names and the exact sums of a model's weights, read as whole numbers: what differs, shows."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [
        (name, int(tensor.detach().view(whole[tensor.element_size()]).sum(dtype=torch.int64)))
        for name, tensor in model.named_parameters()
    ]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def fingerprint(context: Context, decides: dict[str, Any]) -> str:
    """A hash of the model, the data, and what else decides what a run gives."""
    shared = {
        "model": [context.loaded.source.origin, str(context.loaded.dtype), context.loaded.device.type],
        "data": context.data.report.fingerprint,
    }
    return hashlib.sha256(json.dumps({**shared, **decides}, sort_keys=True, default=str).encode()).hexdigest()
